"""Calls a policy and validates its choice: a plug-in that fails or returns an invalid choice never stops a placement.

Its choice is then discarded, and `default` chooses from the same view; an event reports the error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from controller.policies.by_count import LeastAdapters
from controller.policies.interface import Policy, View

_NAME = attrgetter("name")
_LONGEST = 200
"""Maximum characters of an exception's text in the event."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The pods chosen."""

    pods: tuple[str, ...]
    error: str = ""
    """Error of the policy, because of which `default` chose; empty if the policy chose."""


def choose(policy: Policy, view: View) -> Choice:
    """Return the policy's choice if it is valid, else that of `default`."""
    try:
        pods = policy.choose(view)
    except Exception as error:  # a user's code may raise anything
        text = " ".join(str(error).split())[:_LONGEST]
        error_text = f"raised {type(error).__name__}: {text}"
    else:
        error_text = _choice_error(pods, view)
    if not error_text:
        return Choice(tuple(pods))
    return Choice(tuple(LeastAdapters().choose(view)), f"Policy {policy.name} {error_text}; default has chosen instead")


def _choice_error(pods: object, view: View) -> str:
    """Return why this is not a valid choice; empty if it is."""
    if not isinstance(pods, Sequence) or isinstance(pods, str | bytes):
        return f"returned a {type(pods).__name__} instead of a list of pod names"
    if not all(isinstance(name, str) for name in pods):
        return "returned a list that has other values than pod names"
    if len(pods) > view.count:
        return f"chose {len(pods)} pods; at most {view.count} are allowed"
    if len(set(pods)) < len(pods):
        return "chose a pod twice"
    unknown = sorted(set(pods).difference(map(_NAME, view.candidates)))
    return f"chose {unknown[0]!r}, which is not a candidate" if unknown else ""
