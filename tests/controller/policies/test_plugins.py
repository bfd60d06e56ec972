"""Users' own policies: loading them, and validation of their choices."""

import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import pytest

from controller.policies import Candidate, Policies, UnknownPolicy, View, choose, find, installed, registry
from controller.reconcile.actions import EmitEvent, Load
from controller.reconcile.planning.plan import plan
from controller.settings import Settings
from tests.controller.builders import NOW, a_pod, a_snapshot, an_adapter

MODULE = """
class Last:
    '''The last by name.'''
    name = "last"

    def choose(self, view):
        return [pod.name for pod in view.candidates][-view.count:]

class Nameless:
    def choose(self, view): return []

class Impostor(Last):
    name = "spread"

class Fragile(Last):
    def __init__(self): raise KeyError("no such\\nthing")

def function(view): return []
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Create an importable module of a user."""
    (tmp_path / "their_policies.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "their_policies"
    sys.modules.pop("their_policies", None)


@pytest.fixture
def package(module: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Create an installed package that registers it under two names."""
    group = registry.ENTRY_POINTS
    points = [EntryPoint("last", f"{module}:Last", group), EntryPoint("random", f"{module}:Last", group)]
    monkeypatch.setattr(registry, "entry_points", lambda *, group: points)
    installed.cache_clear()
    yield
    installed.cache_clear()


class Answering:
    """Returns or raises the given value."""

    name: ClassVar[str] = "theirs"
    needs_metrics: ClassVar[bool] = False

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def choose(self, view: View) -> Sequence[str]:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def test_module_and_class_find_a_users_policy(module: str) -> None:
    assert find(f"{module}:Last").name == "last"
    policies = Policies(f"{module}:Last")
    assert policies.of("default").name == policies.of("last").name == policies.of(f"{module}:Last").name == "last"
    assert policies.of("spread").name == "spread"


def test_further_policies_can_be_named_by_adapters_without_being_the_default(module: str) -> None:
    policies = Policies(others=[f"{module}:Last"])
    assert policies.of("last").name == "last"
    assert policies.of("default").name == "least-adapters"
    assert {"last", f"{module}:Last", "default", "bin-pack"} <= policies.names


def test_what_only_an_adapter_names_is_not_imported(module: str) -> None:
    policies = Policies()
    assert f"{module}:Last" not in policies.names
    assert policies.of(f"{module}:Last").name == "least-adapters"
    assert module not in sys.modules


@pytest.mark.usefixtures("package")
def test_an_installed_package_offers_a_policy_but_takes_no_built_in_name() -> None:
    policies = Policies("last")
    assert policies.of("default").name == "last"
    assert type(policies.of("random")).__module__.startswith("controller.")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("best", "unknown policy 'best'; allowed: default, bin-pack"),
        ("no_such_module:Class", "no_such_module:Class cannot be used: ModuleNotFoundError"),
        ("{}:Missing", "cannot be used: AttributeError"),
        ("{}:function", "is not a class with a method choose"),
        ("{}:Nameless", "has no name"),
        ("{}:Impostor", "has the name of a built-in policy, 'spread'"),
        ("{}:Fragile", "cannot be used: KeyError: 'no such"),
        ("os:abort", "is not a class with a method choose"),
        (":", "cannot be used: ValueError"),
    ],
)
def test_an_unusable_policy_is_refused_in_one_line(module: str, name: str, message: str) -> None:
    with pytest.raises(UnknownPolicy) as refused:
        find(name.format(module))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (ValueError("first\nsecond"), "raised ValueError: first second"),
        (SystemError("x" * 5000), "raised SystemError: xxx"),
        (None, "returned a NoneType instead of a list of pod names"),
        ("pod-a", "returned a str instead of a list of pod names"),
        ({"pod-a"}, "returned a set instead of a list of pod names"),
        ((name for name in ["pod-a"]), "returned a generator instead of a list of pod names"),
        ([None], "returned a list that has other values than pod names"),
        (["pod-a", "pod-b"], "chose 2 pods; at most 1 are allowed"),
        (["pod-z"], "chose 'pod-z', which is not a candidate"),
    ],
)
def test_a_policy_that_fails_or_chooses_badly_is_replaced_by_default_with_an_event(answer: Any, message: str) -> None:
    todo = plan(
        a_snapshot(an_adapter(), [a_pod("pod-a"), a_pod("pod-b")], adapters_on={"pod-a": 3}),
        NOW,
        Settings(),
        Answering(answer),
        Random(0),
    )
    assert [action.pod.name for action in todo.actions if isinstance(action, Load)] == ["pod-b"]
    (event,) = [a for a in todo.actions if isinstance(a, EmitEvent) and a.reason == "PolicyFailed"]
    assert event.type == "Warning"
    assert message in event.note
    assert event.note.endswith("default has chosen instead")
    assert len(event.note) < 400


def test_a_choice_with_a_pod_twice_is_invalid() -> None:
    pods = [a_pod("pod-a"), a_pod("pod-b"), a_pod("pod-c")]
    todo = plan(a_snapshot(an_adapter(replicas=2), pods), NOW, Settings(), Answering(["pod-c", "pod-c"]), Random(0))
    assert [action.pod.name for action in todo.actions if isinstance(action, Load)] == ["pod-a", "pod-b"]


@pytest.mark.parametrize("answer", [["pod-b"], ("pod-b",), []])
def test_a_policy_may_choose_fewer(answer: Sequence[str]) -> None:
    candidates = tuple(Candidate(name, 0, max_loras=2, max_cpu_loras=4) for name in ("pod-a", "pod-b"))
    choice = choose(Answering(answer), View("default/sql", 2, candidates))
    assert (choice.pods, choice.error) == (tuple(answer), "")


def test_interrupting_the_process_is_no_fault_of_the_policy() -> None:
    with pytest.raises(KeyboardInterrupt):
        choose(Answering(KeyboardInterrupt()), View("default/sql", 1, ()))
