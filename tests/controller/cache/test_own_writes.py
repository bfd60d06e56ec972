"""The operator's own writes wake no reconcile, because a second one would do nothing."""

import copy
from pathlib import Path

import pytest
from msgspec.structs import replace

import controller.controller
import controller.reconcile.reconciler
from controller.api.types import ModelAdapter
from controller.cache.own_writes import OwnWrites, version_of
from controller.reconcile.actions import Action, ListAdapters, Plan, WriteStatus
from controller.reconcile.executor import PlanExecutor, Result
from controller.reconcile.observe import observe
from controller.reconcile.planning.plan import plan
from controller.reconcile.reconciler import Reconciler
from controller.runtime.workqueue import WorkQueue
from tests.controller.builders import an_adapter
from twin.scenario import load
from twin.sim.simulation import simulate

SCENARIOS = Path(__file__).parents[3] / "scenarios"
KEY = "default/sql"


def at(version: str) -> ModelAdapter:
    adapter = an_adapter()
    return replace(adapter, metadata=replace(adapter.metadata, resource_version=version))


@pytest.mark.parametrize(
    ("changes", "written", "woken"),
    [
        ([], [], False),
        (["2"], ["2"], False),
        (["2", "3"], ["3", "2"], False),
        (["2", "3"], ["2"], True),
        (["3"], ["2"], True),
        (["2"], [], True),
    ],
)
def test_only_a_change_that_the_reconcile_did_not_write_wakes(
    changes: list[str], written: list[str], woken: bool
) -> None:
    queued = list[str]()
    own = OwnWrites(queued.append)
    own.begin(KEY)
    for version in changes:
        own.changed(KEY, at(version))
    assert not queued
    own.end(KEY, [version_of(at(version)) for version in written])
    assert queued == [KEY] * woken


def test_a_change_between_reconciles_wakes_at_once() -> None:
    queued = list[str]()
    own = OwnWrites(queued.append)
    own.begin(KEY)
    own.end(KEY)
    own.changed(KEY, at("2"))
    assert queued == [KEY]


class Repetition:
    """Plans once more after each reconcile that nothing but its own writes would have repeated."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.plans = 0
        self.left = list[Action]()
        """Actions that were left to do."""
        self._woken = set[str]()
        self._last: dict[str, Plan] = {}
        whole, queue_add = self, WorkQueue.add

        def add(queue: WorkQueue, key: str, *, first: bool = False) -> None:
            whole._woken.add(key)
            queue_add(queue, key, first=first)

        class Executor(PlanExecutor):
            async def run(self) -> Result:
                whole._last[self._adapter.key] = self._plan
                return await super().run()

        class Repeating(Reconciler):
            async def reconcile(self, key: str) -> Result:
                whole._woken.discard(key)
                result = await super().reconcile(key)
                adapter = self.dependencies.cache.adapters.get(key)
                if adapter is not None and version_of(adapter) in result.written and key not in whole._woken:
                    whole._repeat(self, adapter)
                return result

        monkeypatch.setattr(WorkQueue, "add", add)
        monkeypatch.setattr(controller.reconcile.reconciler, "PlanExecutor", Executor)
        monkeypatch.setattr(controller.controller, "Reconciler", Repeating)

    def _repeat(self, reconciler: Reconciler, adapter: ModelAdapter) -> None:
        last, dependencies = self._last[adapter.key], reconciler.dependencies
        if last.waiting_for_slot or any(isinstance(action, ListAdapters) for action in last.actions):
            return  # the slot and the end of the list wake it
        self.plans += 1
        policy = dependencies.policies.of(adapter.spec.scheduler_name)
        now, rng = dependencies.clock.now().timestamp(), copy.deepcopy(dependencies.rng)
        planned = plan(observe(adapter, dependencies), now, dependencies.settings, policy, rng)
        self.left += [action for action in planned.actions if action != WriteStatus(adapter.status)]


@pytest.mark.parametrize("name", ["refused-then-fine", "faults/api-forbidden", "kubernetes/statefulset"])
def test_a_plan_made_from_what_the_last_one_wrote_has_nothing_to_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    repetition = Repetition(monkeypatch)
    simulate(load(SCENARIOS / f"{name}.yaml"))
    assert repetition.plans > 30
    assert repetition.left == []
