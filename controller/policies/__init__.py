"""Where to place an adapter: pure functions of a view, one small class each. Start with `view.py`.

A policy sees candidates only: pods that match, are ready and stable, and are not left aside for this adapter. It
ranks them, and has no say in anything else; what it must not do (choose a pod twice, or one that is no candidate) is
checked by `choosing.py`, so that a user's own policy (`registry.py`) can do no harm. `docs/policies.md` is for
people who choose or write one.
"""

from controller.policies.dispatch import Choice, choose
from controller.policies.interface import Candidate, EngineLoad, Policy, View
from controller.policies.registry import BUILT_IN, DEFAULT, Policies, UnknownPolicy, find, installed

__all__ = [
    "BUILT_IN",
    "DEFAULT",
    "Candidate",
    "Choice",
    "EngineLoad",
    "Policies",
    "Policy",
    "UnknownPolicy",
    "View",
    "choose",
    "find",
    "installed",
]
