"""Placement policies: pure functions of a view, one small class each. Start reading at `interface.py`.

A policy ranks candidates: pods that match, are ready and stable, and are not in cooldown for this adapter.
`dispatch.py` validates its choice, so that a user's own policy (`registry.py`) can do no harm. `docs/policies.md`
explains how to choose or write a policy.
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
