"""Each invariant detects a bug that is put into the operator on purpose.

The same worlds with the operator as it is are clean, so it is the bug that is found and not the world.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import msgspec
import pytest

import controller.rebalance.fleet as fleet_module
import controller.reconcile.planning.conditions as conditions_module
import controller.reconcile.planning.deletion as deletion_module
import controller.reconcile.planning.endpoints as endpoints_module
import controller.reconcile.planning.plan as plan_module
import controller.reconcile.reconciler as reconciler_module
import controller.reconcile.replica_state as replica_state_module
import controller.reconcile.status as status_module
import twin.sim.simulation as simulation_module
from controller.api.types import ModelAdapter
from controller.backoff import Backoff
from controller.cache.pod_view import PodView
from controller.cache.refusals import Refusal
from controller.reconcile.actions import Plan, RemoveFinalizer, Unload, WriteStatus
from controller.reconcile.snapshot import Snapshot
from controller.runtime.leaderelection import LeaderElector
from controller.runtime.recorder import EventRecorder
from tests.twin.worlds import MODEL, a_scenario, adapters, deployment
from twin.evaluate import invariants
from twin.sim.simulation import simulate

KEY = "sk-0123456789-not-real"
KILLS: dict[str, Any] = {"faults": [{"kind": "pod-kill", "pods": {"count": 1}, "every": "40s", "until": "4m"}]}
FLAPS: dict[str, Any] = {
    "faults": [
        {
            "kind": "readiness-flap",
            "pods": {"count": 1},
            "from": "1m",
            "until": "3m",
            "ready_for": "20s",
            "unready_for": "20s",
        }
    ]
}
REFUSED: dict[str, Any] = {
    "faults": [{"kind": "connection-refused", "pods": {"count": 1}, "from": "1s", "until": "5m"}],
    "pods": 1,
}
LEAVING: dict[str, Any] = {"adapters": [adapters(leave={"after": "2m"})]}
KEYED: dict[str, Any] = {"key": KEY, "adapters": [adapters(spec={"additionalConfig": {"api-key": KEY}})]}
TWO: dict[str, Any] = {"controller": {"replicas": 2}}
AWAY: dict[str, Any] = {
    "adapters": [adapters(1)],
    "faults": [{"kind": "connection-refused", "from": "3m", "until": "12m"}],
    "edits": [{"at": "4m", "of": "ModelAdapter/a-0", "delete": True}],
    "duration": "20m",
}
ANOTHER: dict[str, Any] = {
    "edits": [{"at": "3m", "of": "ModelAdapter/a-0", "patch": {"spec": {"artifactURL": "huggingface://acme/second"}}}],
}
QUIET: dict[str, Any] = {"duration": "20m"}
ANOTHER_AT_LENGTH = ANOTHER | QUIET

Patch = pytest.MonkeyPatch


def slices_are_never_withdrawn(patch: Patch) -> None:
    honest = plan_module.publication

    def lazy(snapshot: Snapshot, pods: Sequence[PodView]) -> Any:
        return None if snapshot.slices else honest(snapshot, pods)

    patch.setattr(plan_module, "publication", lazy)
    patch.setattr(plan_module, "plan_withdrawal", lambda *_: None)
    patch.setattr(deletion_module, "publication", lazy)


def a_withdrawal_waits_for_the_status(patch: Patch) -> None:
    patch.setattr(plan_module, "plan_withdrawal", lambda *_: None)


def instances_are_never_withdrawn(patch: Patch) -> None:
    honest = conditions_module.status_of

    def sticky(adapter: ModelAdapter, situation: Any, now: float) -> Any:
        kept = tuple(dict.fromkeys((*adapter.status.instances, *situation.instances)))
        return honest(adapter, replace(situation, instances=kept), now)

    patch.setattr(conditions_module, "status_of", sticky)


def one_replica_too_many(patch: Patch) -> None:
    honest = plan_module.select

    def generous(snapshot: Snapshot, *rest: Any) -> Any:
        chosen = honest(snapshot, *rest)
        more = [pod.name for pod in snapshot.matching if pod.ready and pod.name not in chosen.pods][:1]
        return replace(chosen, pods=tuple(sorted((*chosen.pods, *more))))

    patch.setattr(plan_module, "select", generous)


def every_pod_is_stable(patch: Patch) -> None:
    patch.setattr(PodView, "stable", lambda self, now, stable_for: bool(self.ip and self.engine))


def no_patience(patch: Patch) -> None:
    patch.setattr(Backoff, "delay", lambda self, failures, salt="": 1.0)


def no_limit(patch: Patch) -> None:
    patch.setattr(Backoff, "exhausted", lambda self, failures: False)
    patch.setattr(Backoff, "delay", lambda self, failures, salt="": min(5.0 * 2 ** (failures - 1), 80.0))


def deletion_forgets_to_unload(patch: Patch) -> None:
    patch.setattr(plan_module, "plan_deletion", lambda *_: Plan((RemoveFinalizer(),)))


def engines_are_given_up_in_silence(patch: Patch) -> None:
    honest = EventRecorder.event

    def shy(self: EventRecorder, adapter: ModelAdapter, kind: str, reason: str, note: str) -> None:
        if reason != "UnloadAbandoned":
            honest(self, adapter, kind, reason, note)

    patch.setattr(EventRecorder, "event", shy)


def unloads_come_before_anything_else(patch: Patch) -> None:
    honest = plan_module.plan
    import controller.reconcile.reconciler as reconciler_module

    def hasty(snapshot: Snapshot, *rest: Any) -> Plan:
        todo = honest(snapshot, *rest)
        return replace(todo, actions=tuple(sorted(todo.actions, key=lambda action: not isinstance(action, Unload))))

    patch.setattr(reconciler_module, "plan", hasty)


def events_tell_the_key(patch: Patch) -> None:
    honest = EventRecorder.event

    def chatty(self: EventRecorder, adapter: ModelAdapter, kind: str, reason: str, note: str) -> None:
        honest(self, adapter, kind, reason, f"{note} {adapter.spec.additional_config}")

    patch.setattr(EventRecorder, "event", chatty)


def everybody_leads(patch: Patch) -> None:
    async def at_once(self: LeaderElector, work: Any, stopping: Any) -> None:
        await work()

    patch.setattr(LeaderElector, "lead", at_once)


def one_adapter_is_ignored(patch: Patch) -> None:
    honest = plan_module.plan
    import controller.reconcile.reconciler as reconciler_module

    def selective(snapshot: Snapshot, *rest: Any) -> Plan:
        return Plan(()) if snapshot.adapter.metadata.name == "a-1" else honest(snapshot, *rest)

    patch.setattr(reconciler_module, "plan", selective)


def nothing_is_ever_complete(patch: Patch) -> None:
    honest = conditions_module.ConditionBuilder._progress

    def hesitant(self: Any, pods: Any) -> Any:
        return replace(honest(self, pods), active=True, reason="Loading")

    patch.setattr(conditions_module.ConditionBuilder, "_progress", hesitant)


def no_silence(patch: Patch) -> None:
    honest = plan_module.plan
    from msgspec.structs import replace as with_fields

    import controller.reconcile.reconciler as reconciler_module

    written: dict[str, float] = {}

    def restless(snapshot: Snapshot, now: float, *rest: Any) -> Plan:
        """Change one number of the status every minute."""
        minute = now // 60
        if written.setdefault(snapshot.adapter.metadata.name, minute) == minute:
            return replace(honest(snapshot, now, *rest), wake=now + 60)
        written[snapshot.adapter.metadata.name] = minute
        turned = with_fields(snapshot.adapter.status, candidates=int(minute) % 7 + 10)
        return Plan((WriteStatus(turned),), wake=now + 60)

    patch.setattr(reconciler_module, "plan", restless)


def what_is_loaded_is_good_for_ever(patch: Patch) -> None:
    patch.setattr(replica_state_module, "artifact_of", lambda path: "any")


def refused_once_is_refused_for_ever(patch: Patch) -> None:
    honest = simulation_module.controller_settings
    patch.setattr(
        simulation_module, "controller_settings", lambda scenario: replace(honest(scenario), pod_cooldown=1e9)
    )


def announcements_expire(patch: Patch) -> None:
    import controller.requests.tracker as tracker_module

    honest = tracker_module.RequestTracker.load

    def stale(self: Any, prepared: Any, announced: float, confirmed: float) -> None:
        age = self._clock.now().timestamp() - announced
        honest(self, prepared, announced, confirmed - age)

    patch.setattr(tracker_module.RequestTracker, "load", stale)


def what_was_announced_has_failed(patch: Patch) -> None:
    honest = conditions_module.ConditionBuilder._attempts

    def sure(self: Any, state: Any) -> str:
        return re.sub(r"(are used|have failed).*", "have failed", honest(self, state))

    patch.setattr(conditions_module.ConditionBuilder, "_attempts", sure)


def one_more_replica_is_said_to_serve(patch: Patch) -> None:
    honest = conditions_module.ConditionBuilder._progress

    def boastful(self: Any, pods: Any) -> Any:
        return honest(self, (*pods, "another"))

    patch.setattr(conditions_module.ConditionBuilder, "_progress", boastful)


def a_load_is_reported_before_it_is_sent(patch: Patch) -> None:
    import controller.requests.tracker as tracker_module

    honest = tracker_module.RequestTracker.prepare

    async def hasty(self: Any, adapter: ModelAdapter, pod: PodView) -> Any:
        self._observer(adapter.key, pod, self._outcome(adapter, pod, "load", tracker_module.CallResult()))
        return await honest(self, adapter, pod)

    patch.setattr(tracker_module.RequestTracker, "prepare", hasty)


def each_status_is_written(patch: Patch) -> None:
    from controller.reconcile.executor import PlanExecutor

    async def eager(self: Any, desired: Any) -> None:
        await self._patch(status_module.patch(self._adapter.status, desired), subresource=True)

    patch.setattr(PlanExecutor, "_write_status", eager)


def slots_have_no_limit(patch: Patch) -> None:
    from controller.requests.slots import RequestSlots

    patch.setattr(RequestSlots, "reserve", lambda self, pod: self._used.update({pod: self._used.get(pod, 0) + 1}))


def requests_in_flight_are_forgotten(patch: Patch) -> None:
    honest = plan_module.replica_states

    def forgetful(*args: Any) -> Any:
        return {pod: replace(state, busy="") for pod, state in honest(*args).items()}

    patch.setattr(plan_module, "replica_states", forgetful)


def adapters_are_loaded_again_now_and_then(patch: Patch) -> None:
    import controller.reconcile.reconciler as reconciler_module

    honest, times = plan_module.plan, dict[str, float]()

    def restless(snapshot: Snapshot, now: float, *rest: Any) -> Plan:
        todo, pods = honest(snapshot, now, *rest), snapshot.adapter.status.instances
        if not pods or now < times.setdefault(snapshot.adapter.key, now) + 120:
            return replace(todo, wake=now + 60)
        times[snapshot.adapter.key] = now
        return replace(todo, actions=(*todo.actions, Unload(snapshot.pods[pods[0]])), wake=now + 60)

    patch.setattr(reconciler_module, "plan", restless)


def everything_is_said_a_hundred_times(patch: Patch) -> None:
    honest = EventRecorder.event

    def verbose(self: EventRecorder, *event: Any) -> None:
        for _ in range(100):
            honest(self, *event)

    patch.setattr(EventRecorder, "event", verbose)


def adapters_are_polled(patch: Patch) -> None:
    import controller.reconcile.reconciler as reconciler_module

    honest = plan_module.plan
    patch.setattr(
        reconciler_module, "plan", lambda snapshot, now, *rest: replace(honest(snapshot, now, *rest), wake=now + 5)
    )


def pods_are_published_with(change: Callable[[Sequence[PodView]], Sequence[PodView]]) -> Callable[[Patch], None]:
    def bug(patch: Patch) -> None:
        honest = endpoints_module.slices_for
        patch.setattr(endpoints_module, "slices_for", lambda adapter, pods: honest(adapter, change(pods)))

    return bug


def _without_the_last(pods: Sequence[PodView]) -> Sequence[PodView]:
    return pods[:-1]


def _at_another_port(pods: Sequence[PodView]) -> Sequence[PodView]:
    return [replace(pod, port=8080) for pod in pods]


def _twice(pods: Sequence[PodView]) -> Sequence[PodView]:
    return [*pods, *pods]


def former_slices_stay(patch: Patch) -> None:
    honest_slices, honest = endpoints_module.slices_for, plan_module.publication

    def renamed(adapter: ModelAdapter, pods: Sequence[PodView]) -> Any:
        names = "-".join(pod.name[-2:] for pod in pods)
        return [with_name(item, f"{item.metadata.name}-{names}") for item in honest_slices(adapter, pods)]

    def with_name(item: Any, name: str) -> Any:
        return msgspec.structs.replace(item, metadata=msgspec.structs.replace(item.metadata, name=name))

    def tidy(snapshot: Snapshot, pods: Sequence[PodView]) -> Any:
        publish = honest(snapshot, pods)
        return None if publish is None else replace(publish, obsolete=())

    patch.setattr(endpoints_module, "slices_for", renamed)
    patch.setattr(plan_module, "publication", tidy)


def loads_are_not_reported(patch: Patch) -> None:
    import controller.requests.reporter as reporter_module

    patch.setattr(reporter_module.RequestReporter, "_emit_event", lambda *_: None)


def more_pods_than_there_are_wait(patch: Patch) -> None:
    patch.setattr(conditions_module, "_enumerate", lambda waits: f"{', '.join(waits)} and -2 more")


def counts_of_events_stay(patch: Patch) -> None:
    honest = EventRecorder._increment

    async def lazy(self: EventRecorder, namespace: str, name: str, count: int) -> None:
        await honest(self, namespace, name, min(count, 2))

    patch.setattr(EventRecorder, "_increment", lazy)


AWAY_AND_BACK: dict[str, Any] = {
    "adapters": [adapters(1, replicas=1)],
    "edits": [
        {"at": f"{minute}m", "of": "ModelAdapter/a-0", "patch": {"spec": {"replicas": minute % 2}}}
        for minute in range(2, 9)
    ],
    "pods": 1,
}


def a_refusal_is_pretended(patch: Patch) -> None:
    refused = Refusal("QuotaExceeded", "exceeded quota", retry_at=inf, failures=1)
    observe = reconciler_module.observe
    patch.setattr(reconciler_module, "observe", lambda *given: replace(observe(*given), publication_error=refused))


def moves_follow_each_other(patch: Patch) -> None:
    patch.setattr(fleet_module, "REST", 0.0)


def retry_after_is_ignored(patch: Patch) -> None:
    import controller.engine.errors as errors_module

    patch.setattr(errors_module, "MAX_RETRY_AFTER", 0.0)


ASKED_TO_WAIT: dict[str, Any] = {
    "faults": [{"kind": "http-error", "status": 503, "retry_after": "40s", "from": "1s", "until": "3m"}],
    "pods": 1,
}
SLOW_LOADS: dict[str, Any] = {
    "cluster": {"engines": {"default": {"startup": "2s", "load": "30s"}}},
    "edits": [{"at": "20s", "of": "ModelAdapter/a-0", "patch": {"metadata": {"labels": {"team": "search"}}}}],
}
"""The edit wakes an adapter while it is being loaded; the operator's own writes do not."""
SLOW_WRITES: dict[str, Any] = {"cluster": {"api": {"latency": "1100ms"}}}
FORGOTTEN: dict[str, Any] = REFUSED | {
    "adapters": [adapters(1, replicas=1, arrive={"at": "30s"})],
    "faults": [
        {"kind": "connection-refused", "from": "0s"},
        {"kind": "controller-crash", "at": "43800ms", "restart_after": "500ms"},
    ],
    "cluster": {"api": {"latency": "1s"}},
}
STATUS_FAILS: dict[str, Any] = {
    "faults": [
        {"kind": "api-error", "probability": 1.0, "resources": ["modeladapters"], "from": "100s", "until": "3m"},
        {"kind": "pod-kill", "pods": {"count": 1}, "at": "2m"},
    ],
    "adapters": [adapters(2, replicas=None)],
}
GROWING: dict[str, Any] = {
    "pods": 1,
    "duration": "4m",
    "controller": {"rebalance": {"algorithm": "greedy", "interval": "10s", "tolerance": 0}},
    "adapters": [
        adapters(1, replicas=1, arrive={"at": "20s"}),
        *(
            adapters(3, name=name, replicas=1, arrive={"at": at}, spec={"pinned": True})
            for name, at in (("early-{i}", "20s"), ("late-{i}", "110s"))
        ),
    ],
    "edits": [
        {"at": f"{at}s", "of": f"Deployment/{MODEL}", "patch": {"spec": {"replicas": replicas}}}
        for at, replicas in ((50, 2), (130, 3))
    ],
}
"""One adapter alone may move: to the second pod, and without a rest also to the third."""
NO_REGISTRY: dict[str, Any] = {"faults": [{"kind": "registry-down", "until": "2m"}], "duration": "30m"}

BUGS = [
    (1, slices_are_never_withdrawn, KILLS),
    (2, instances_are_never_withdrawn, FLAPS | {"adapters": [adapters(replicas=None)]}),
    (3, one_replica_too_many, {}),
    (4, every_pod_is_stable, FLAPS | {"adapters": [adapters(30, arrive={"poisson": "10/min"}, replicas=None)]}),
    (5, no_patience, REFUSED),
    (5, no_limit, REFUSED),
    (5, retry_after_is_ignored, ASKED_TO_WAIT),
    (6, deletion_forgets_to_unload, LEAVING),
    (6, engines_are_given_up_in_silence, AWAY),
    (7, events_tell_the_key, KEYED),
    (8, everybody_leads, TWO),
    (9, unloads_come_before_anything_else, ANOTHER),
    (12, announcements_expire, SLOW_WRITES),
    (13, what_was_announced_has_failed, FORGOTTEN),
    (13, one_more_replica_is_said_to_serve, {}),
    (13, a_load_is_reported_before_it_is_sent, {}),
    (11, pods_are_published_with(_without_the_last), {}),
    (11, pods_are_published_with(_at_another_port), {}),
    (11, pods_are_published_with(_twice), {}),
    (11, former_slices_stay, KILLS),
    (11, a_refusal_is_pretended, {}),
    (13, loads_are_not_reported, {}),
    (13, more_pods_than_there_are_wait, {"pods": 1, "adapters": [adapters(replicas=5)]}),
    (13, counts_of_events_stay, AWAY_AND_BACK),
    (14, each_status_is_written, {}),
    (15, a_withdrawal_waits_for_the_status, STATUS_FAILS),
    (14, slots_have_no_limit, {"adapters": [adapters(12)]}),
    (14, requests_in_flight_are_forgotten, SLOW_LOADS),
    (14, adapters_are_loaded_again_now_and_then, {}),
    (14, everything_is_said_a_hundred_times, {}),
    (14, adapters_are_polled, QUIET),
    (14, no_silence, QUIET),
    (14, moves_follow_each_other, GROWING),
    ("liveness", one_adapter_is_ignored, QUIET),
    ("liveness", no_silence, QUIET),
    ("liveness", nothing_is_ever_complete, QUIET),
    ("liveness", what_is_loaded_is_good_for_ever, ANOTHER_AT_LENGTH),
    ("liveness", refused_once_is_refused_for_ever, NO_REGISTRY),
]


def broken(folder: Path, sections: dict[str, Any]) -> Iterator[int | str]:
    record = simulate(a_scenario(folder, **sections)).lines
    return (violation.invariant for violation in invariants.check(record).violations)


@pytest.mark.parametrize(
    ("invariant", "bug", "world"), BUGS, ids=[f"{number}-{bug.__name__}-{i}" for i, (number, bug, _) in enumerate(BUGS)]
)
def test_an_operator_with_this_bug_is_found_out(
    invariant: int | str, bug: Any, world: dict[str, Any], tmp_path: Path, monkeypatch: Patch
) -> None:
    assert not list(broken(tmp_path, world)), "the world is one in which an honest operator breaks nothing"
    bug(monkeypatch)
    assert invariant in set(broken(tmp_path, world))


def a_pod_that_is_not_enabled() -> dict[str, Any]:
    other = deployment(1)
    other["metadata"]["name"] = "other"
    labels = {"model.aibrix.ai/name": MODEL}
    other["spec"]["selector"]["matchLabels"] = other["spec"]["template"]["metadata"]["labels"] = labels
    return other


def a_secret(key: str) -> dict[str, Any]:
    data = {key: "bm90LXJlYWw="}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "default"}, "data": data}


NAMES_A_SECRET = [adapters(2, spec={"apiKeySecretRef": {"name": "keys", "key": "api-key"}})]
NOBODYS_FAULT = {
    "pods without the label": {
        "objects": [a_pod_that_is_not_enabled()],
        "adapters": [adapters(1, spec={"podSelector": {"matchLabels": {"model.aibrix.ai/name": MODEL}}})],
    },
    "no room under the adapter's own policy": {
        "pods": 1,
        "adapters": [adapters(20, spec={"schedulerName": "bin-pack"})],
    },
    "no Services in the quota": {
        "objects": [
            deployment(2),
            {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": {"name": "none", "namespace": "default"},
                "spec": {"hard": {"services": "0"}},
            },
        ],
        "duration": "5m",
    },
    "room that another adapter leaves late": {
        "pods": 1,
        "adapters": [adapters(17, replicas=1, spec={"schedulerName": "bin-pack"})],
        "edits": [{"at": "14m", "of": "ModelAdapter/a-0", "delete": True}],
        "duration": "15m",
    },
    "a key that the engine refuses": {
        "objects": [deployment(3, key=KEY), a_secret("api-key")],
        "adapters": NAMES_A_SECRET,
    },
    "a Secret without the key": {"objects": [deployment(3, key=KEY), a_secret("other")], "adapters": NAMES_A_SECRET},
    "no Secret": {"key": KEY, "adapters": NAMES_A_SECRET},
    "a Secret that goes, and fewer replicas": {
        "objects": [deployment(3), a_secret("api-key")],
        "adapters": NAMES_A_SECRET,
        "edits": [
            {"at": "2m", "of": "Secret/keys", "delete": True},
            {"at": "4m", "of": "ModelAdapter/a-0", "patch": {"spec": {"replicas": 1}}},
        ],
        "duration": "10m",
    },
    "retries": REFUSED,
    "no retries": {**REFUSED, "controller": {"retry": {"retries": 0}}},
    "a rate limit of its own": {"adapters": [adapters(24, replicas=1)], "controller": {"kube_api_qps": 5.0}},
}


@pytest.mark.parametrize("world", NOBODYS_FAULT.values(), ids=NOBODYS_FAULT.keys())
def test_what_is_not_the_operators_fault_is_no_violation(world: dict[str, Any], tmp_path: Path) -> None:
    record = simulate(a_scenario(tmp_path, **{"duration": "25m"} | world)).lines
    assert [str(violation) for violation in invariants.check(record).violations] == []
