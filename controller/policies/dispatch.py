"""Lets a policy choose, and holds it to the rules: a plug-in that fails or talks nonsense never stops a placement.

What it would have chosen is then thrown away as a whole, and `default` chooses from the same view; the fault is told
to users as an event.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from controller.policies.by_count import LeastAdapters
from controller.policies.interface import Policy, View

_LONGEST = 200
"""Characters of an exception's text that are shown."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The pods chosen."""

    pods: tuple[str, ...]
    error: str = ""
    """What the policy did wrong, so that `default` had to choose; empty if nothing."""


def choose(policy: Policy, view: View) -> Choice:
    """The policy's choice if it is one, else that of `default`."""
    try:
        answer = policy.choose(view)
    except Exception as error:  # a user's code may raise anything
        text = " ".join(str(error).split())[:_LONGEST]
        wrong = f"raised {type(error).__name__}: {text}"
    else:
        wrong = _nonsense(answer, view)
    if not wrong:
        return Choice(tuple(answer))
    return Choice(tuple(LeastAdapters().choose(view)), f"Policy {policy.name} {wrong}; default has chosen instead")


def _nonsense(answer: object, view: View) -> str:
    """Why this is no choice, if it is none."""
    if not isinstance(answer, Sequence) or isinstance(answer, str | bytes):
        return f"gave a {type(answer).__name__} where a list of pod names belongs"
    if not all(isinstance(name, str) for name in answer):
        return "gave a list of other things than pod names"
    if len(answer) > view.count:
        return f"chose {len(answer)} pods where {view.count} were wanted"
    if len(set(answer)) < len(answer):
        return "chose a pod twice"
    strangers = sorted(set(answer) - {pod.name for pod in view.candidates})
    return f"chose {strangers[0]!r}, which is no candidate" if strangers else ""
