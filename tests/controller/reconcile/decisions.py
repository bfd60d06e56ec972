"""Random situations of one adapter, and what the operator decides in each; not a test.

`decisions.txt` has the decisions. A line that changes on purpose is reviewed there:

    python -m tests.controller.reconcile.decisions        # writes them again
    python -m tests.controller.reconcile.decisions 12     # prints situation 12 and its decision
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from pprint import pformat
from random import Random
from typing import Any

import msgspec
from msgspec.structs import replace as with_fields

from controller.api.annotations import (
    LAST_SCALE_TIME,
    PLACEMENTS,
    RETRY_COUNT,
    Attempt,
    MoveRecord,
    PersistedState,
    changes,
    set_replicas,
)
from controller.api.spec import SpecProblem, artifact_of
from controller.api.types import (
    ArtifactStatus,
    Autoscaling,
    AutoscalingTarget,
    Condition,
    EndpointSlice,
    ModelAdapter,
    SecretKeyReference,
    json_value,
)
from controller.cache.pod_view import PodView
from controller.cache.refusals import Refusal
from controller.demand.scaling import Demand, DemandSample
from controller.engine.errors import EngineError, Scope
from controller.engine.prefix_cache import PrefixCache
from controller.policies import find
from controller.rebalance.fleet import DecidedMove
from controller.reconcile.actions import (
    Action,
    EmitEvent,
    ListAdapters,
    Load,
    Plan,
    PublishEndpoints,
    SetReplicas,
    Unload,
    Write,
    WriteAnnotations,
    WriteStatus,
)
from controller.reconcile.planning.endpoints import service_for, slices_for
from controller.reconcile.planning.plan import plan
from controller.reconcile.snapshot import Snapshot
from controller.reconcile.status import patch
from controller.requests.outcomes import RequestOutcome
from controller.settings import Settings
from tests.controller.builders import NOW, a_pod, a_snapshot, an_adapter, placed

FILE = Path(__file__).with_suffix(".txt")
COUNT = 500
FORMER, CURRENT = "containerd://1", "containerd://2"
_ERRORS = (
    EngineError("ConnectError", "connection refused", retriable=True),
    EngineError("Overloaded", "queue is full", retriable=True, retry_after=90),
    EngineError("Timeout", "timeout", retriable=True, ambiguous=True),
    EngineError("LoadFailed", "unknown", retriable=True, elsewhere=True),
    EngineError("InvalidAdapter", "rank too large", retriable=False, scope=Scope.ADAPTER),
    EngineError("Unauthorized", "wrong key", retriable=False),
)
_AGES = (0.3, 3.0, 40.0, 200.0, 1000.0)
"""Seconds since something happened."""
_ORDER = ("Progressing", "Ready", "Bound", "Loaded", "BaseModelServed", "ScalingActive")
_PROBLEMS = (SpecProblem("UnknownScheduler", "unknown"), SpecProblem("SecretNotFound", "no Secret", recheck=10))


def situation(number: int) -> tuple[Snapshot, Settings, str]:
    """Return a random snapshot, the operator's settings and a policy, which depend on the number alone."""
    rng = Random(f"situation {number}")
    pods = [_pod(rng, name) for name in ("pod-a", "pod-b", "pod-c", "pod-d")[: rng.randint(1, 4)]]
    names = [pod.name for pod in pods]
    persisted = _persisted(rng, pods)
    placements = sorted(persisted.placements)
    adapter = _adapter(rng, [name for name in names if rng.random() < (0.6 if name in placements else 0.04)])
    lists = {name: held for name in names if (held := rng.choice(_LISTS)) is not None}
    base = a_snapshot(
        adapter,
        pods,
        persisted=persisted,
        inventories=lists,
        busy={name: rng.choice(("load", "unload")) for name in placements if rng.random() < 0.2},
        outcomes={name: _outcome(rng) for name in placements if rng.random() < 0.6},
        adapters_on={name: rng.randint(0, 9) for name in names},
        full=[name for name in names if rng.random() < 0.2],
        silent=[name for name in names if name not in lists and rng.random() < 0.4],
        failed={name: NOW - rng.choice(_AGES) for name in names if rng.random() < 0.2},
        unsent={name: NOW - rng.choice(_AGES) for name in placements if rng.random() < 0.1},
    )
    snapshot = replace(_known(rng, _published(rng, base)), **_others(rng, names, adapter))
    settings = Settings(
        retry_switch="eager" if rng.random() < 0.3 else "exhausted", unready_grace=rng.choice((0.0, 0.0, 30.0))
    )
    return snapshot, settings, rng.choice(("least-adapters", "bin-pack", "spread", "rendezvous", "rank-aware"))


_LISTS: tuple[Mapping[str, str] | None, ...] = (
    None,
    {},
    {},
    {"sql": "acme/sql"},
    {"sql": "acme/sql"},
    {"sql": "acme/other"},
    {"sql": "/tmp/aibrix/adapters/sql"},
)


def _pod(rng: Random, name: str) -> PodView:
    pod = a_pod(
        name,
        ready_for=rng.choice((None, 2.0, 60.0, 1000.0, 1000.0)),
        engine=rng.choice((CURRENT,) * 12 + ("",)),
        terminating=rng.random() < 0.1,
        unready_for=rng.choice((1.0, 100.0)),
    )
    host = name.encode()[-1]
    return replace(
        pod,
        ips=rng.choice(((), (), (f"10.0.0.{host}", f"fd00::{host}"), (f"fd00::{host}",))),
        ip=rng.choice((f"10.0.0.{host}",) * 12 + ("",)),
        port=rng.choice((8000, 8000, 9000)),
        zone=rng.choice("ab"),
        node=rng.choice(("node-0", "node-1", "")),
        sidecar=rng.random() < 0.3,
        max_lora_rank=rng.choice((0, 16, 64)),
        prefix_cache=rng.choice(list(PrefixCache)),
        base_names=rng.choice(((), ("base",), ("other",))),
    )


def _adapter(rng: Random, instances: Sequence[str]) -> ModelAdapter:
    replicas = rng.choice((0, 1, 1, 2, 2, 3, None))
    adapter = an_adapter(
        replicas=replicas,
        phase=rng.choice(("", "Pending", "Loading", "Bound", "Running", "Running", "Failed")),
        instances=instances,
        deleting=rng.random() < 0.15,
        finalizer=rng.random() < 0.8,
    )
    spec = with_fields(
        adapter.spec,
        base_model=rng.choice(("", "base")),
        artifact_url=rng.choice(("huggingface://acme/sql", "huggingface://acme/sql", "s3://acme/sql")),
        additional_config=rng.choice(({}, {}, {"rank": "32"})),
        api_key_secret_ref=SecretKeyReference(name="key", key="k") if rng.random() < 0.2 else None,
        pinned=rng.random() < 0.1,
        autoscaling=_autoscaling(rng) if rng.random() < 0.2 else None,
    )
    scaled = set_replicas(1, NOW - rng.choice(_AGES))["metadata"]["annotations"][LAST_SCALE_TIME]
    metadata = with_fields(adapter.metadata, annotations={LAST_SCALE_TIME: scaled} if spec.autoscaling else {})
    status = with_fields(adapter.status, artifact=rng.choice((None, ArtifactStatus(rank=32))))
    if rng.random() < 0.8:  # otherwise AIBrix's controller wrote it
        reason, message = rng.choice(
            (("Before", ""), ("UnknownScheduler", "unknown"), ("QuotaExceeded", "exceeded quota"))
        )
        kinds = [kind for kind in _ORDER if rng.random() < 0.7]
        conditions = [Condition(type=kind, status="False", reason=reason, message=message) for kind in kinds]
        status = with_fields(status, conditions=tuple(conditions))
    return with_fields(adapter, spec=spec, metadata=metadata, status=status)


def _autoscaling(rng: Random) -> Autoscaling:
    least = rng.randint(1, 2)
    return Autoscaling(min=least, max=least + rng.randint(0, 4), target=AutoscalingTarget(concurrency=4.0))


def _persisted(rng: Random, pods: Sequence[PodView]) -> PersistedState:
    placements = {}
    for pod in pods:
        if rng.random() < 0.6:
            placement = placed(pod, rng.choice(("acme/sql", "acme/sql", "acme/other")))
            uid = "uid-former" if rng.random() < 0.1 else pod.uid
            placements[pod.name] = with_fields(placement, uid=uid, engine=rng.choice((CURRENT, CURRENT, FORMER)))
    if rng.random() < 0.15:
        placements["pod-gone"] = placed(a_pod("pod-gone"))
    names, move = [pod.name for pod in pods], None
    if len(names) > 1 and rng.random() < 0.3:
        move = MoveRecord(*rng.sample(names, 2), NOW - 10, finished=rng.choice((0.0, 0.0, NOW - 1)))
    return PersistedState(
        selected=tuple(name for name in [*names, "pod-gone"] if name in placements or rng.random() < 0.3),
        attempts={name: Attempt(rng.randint(0, 5), NOW - rng.choice(_AGES)) for name in names if rng.random() < 0.4},
        placements=placements,
        move=move,
        unreadable=rng.choice(((),) * 12 + ((PLACEMENTS,), (f"{RETRY_COUNT}pod-a",))),
    )


def _outcome(rng: Random) -> RequestOutcome:
    error = rng.choice((None, *_ERRORS))
    return RequestOutcome(
        rng.choice(("load", "load", "unload")),
        NOW - rng.choice(_AGES),
        rng.choice((FORMER, CURRENT, CURRENT)),
        1,
        error,
        0 if error is None else rng.randint(1, 6),
        secret=rng.choice(("", "", "7")),
        doubtful=error is not None and (error.ambiguous or rng.random() < 0.2),
    )


def _known(rng: Random, snapshot: Snapshot) -> Snapshot:
    """Return the snapshot with what the operator knows of engines and of occupied pods, which may be nothing."""
    own = {f"default/{pod}" for pod in (*snapshot.persisted.placements, *snapshot.persisted.selected)}
    occupied = {pod: [*keys, "default/sql"] if pod in own else keys for pod, keys in snapshot.adapters_by_pod.items()}
    engines = {}
    for uid, record in snapshot.engines.items():
        served = {"sql": (rng.choice((CURRENT, FORMER)), artifact_of(rng.choice(("acme/sql", "acme/old"))))}
        inventory = record.inventory
        if inventory is not None:
            bases, unclear = rng.choice((frozenset(), {"base"}, {"else"})), rng.random() < 0.1
            names = frozenset(("sql",)) if unclear else frozenset[str]()
            inventory = replace(inventory, bases=frozenset(bases), unclear=names)
        if rng.random() < 0.95:
            known = rng.random() < 0.5
            engines[uid] = replace(record, inventory=inventory, served=served if known else {})
    return replace(snapshot, adapters_by_pod=occupied, engines=engines)


def _published(rng: Random, snapshot: Snapshot) -> Snapshot:
    """Return the snapshot with a Service and slices, which may be incomplete, or changed by a person."""
    alive = rng.random() < 0.85
    members = [
        pod
        for pod in snapshot.pods.values()
        if rng.random() < 0.6 and (not alive or (pod.available and _holds(snapshot, pod)))
    ]
    slices = [_spoilt(rng, item) for item in slices_for(snapshot.adapter, members)]
    service = service_for(snapshot.adapter, rng.choice((8000, 9000)))
    if rng.random() < 0.2:
        service = with_fields(service, spec=with_fields(service.spec, selector={"app": "x"}))
    return replace(snapshot, service=service if rng.random() < 0.8 else None, slices=slices)


def _holds(snapshot: Snapshot, pod: PodView) -> bool:
    placement, inventory = snapshot.persisted.placements.get(pod.name), snapshot.inventory(pod)
    return placement == placed(pod, "acme/sql") and (inventory is None or "sql" in inventory.models)


def _spoilt(rng: Random, item: EndpointSlice) -> EndpointSlice:
    if rng.random() < 0.9:
        return item
    metadata = with_fields(item.metadata, owner_references=(), labels={})
    return with_fields(item, metadata=metadata, endpoints=item.endpoints[1:])


def _others(rng: Random, names: Sequence[str], adapter: ModelAdapter) -> dict[str, Any]:
    refused = Refusal("QuotaExceeded", "exceeded quota", NOW + rng.choice((-5, 20)), rng.randint(1, 7))
    samples = [DemandSample(NOW - age, rng.choice((0.5, 4.0, 9.0, 30.0))) for age in range(330, -1, -15)]
    return {
        "publication_error": refused if rng.random() < 0.2 else None,
        "scaling_error": refused if rng.random() < 0.1 else None,
        "problem": rng.choice(_PROBLEMS) if rng.random() < 0.1 else None,
        "move": DecidedMove(*rng.sample(names, 2), "even") if len(names) > 1 and rng.random() < 0.3 else None,
        "demand": Demand(tuple(samples[-rng.randint(1, len(samples)) :]), granted=rng.choice((None, 0, 3)))
        if adapter.spec.autoscaling is not None and rng.random() < 0.9
        else None,
        "secret": rng.choice(("", "7")),
        "pending_selection": tuple(names[:1]) if rng.random() < 0.2 else (),
    }


def decision(number: int) -> list[str]:
    """Return what is decided in a situation: one line for each action, and one for the rest."""
    snapshot, settings, policy = situation(number)
    planned = plan(snapshot, NOW, settings, find(policy), Random(0))
    told = [text for action in planned.actions for text in _told(snapshot, action)]
    return [*dict.fromkeys(told), _rest(planned)]


def _told(snapshot: Snapshot, action: Action) -> Iterator[str]:
    match action:
        case WriteStatus(status=status):
            written = patch(snapshot.adapter.status, status)["status"]
            yield f"status {_json({key: value for key, value in written.items() if key != 'conditions'})}"
            for item in status.conditions if "conditions" in written else ():
                yield f"  {item.type} {item.status} {item.reason}: {item.message}".rstrip(": ")
        case WriteAnnotations(before=before, after=after, add_finalizer=add):
            yield f"annotations{' and finalizer' if add else ''}"
            yield from (f"  {key.partition('/')[2]} {value}" for key, value in changes(before, after).items())
        case PublishEndpoints(service=service, slices=slices, obsolete=obsolete):
            yield f"endpoints{' without the dead' if action.withdrawal else ''}"
            if service is not None:
                yield f"  Service {_json(service.patch or json_value(service.desired.spec))}"
            for item in slices:
                yield f"  {item.desired.metadata.name} {_slice(item)}"
            yield from (f"  no {item.metadata.name}" for item in obsolete)
        case SetReplicas(replicas=replicas):
            yield f"replicas {replicas}"
        case Load(pod=pod) | Unload(pod=pod) | ListAdapters(pod=pod):
            yield f"{type(action).__name__} {pod.name}"
        case EmitEvent(type=kind, reason=reason, note=note):
            yield f"Event {kind} {reason}: {note}"
        case _:
            yield type(action).__name__


def _slice(write: Write[EndpointSlice]) -> str:
    """Return the fields of a slice that are written, and its endpoints."""
    item = write.desired
    fields = sorted(write.patch) if write.current is not None else ["created"]
    points = [
        " ".join(filter(None, (point.target_ref.name, *point.addresses, point.node_name, point.zone)))
        for point in item.endpoints
        if point.target_ref is not None
    ]
    return f"{item.address_type} {item.ports[0].port}: {' '.join(fields)}: {', '.join(points)}"


def _rest(planned: Plan) -> str:
    wake = f"{planned.wake - NOW:.3f}" if planned.wake else "never"
    flags = ("continues", "unsettled", "short_of_capacity", "refused", "in_steps")
    words = [name for name in flags if getattr(planned, name)]
    waits = f", waits for {' '.join(planned.waiting_for_slot)}" if planned.waiting_for_slot else ""
    return f"then [{' '.join(planned.selection)}] again {wake}{waits} {' '.join(words)}".rstrip()


def _json(value: Any) -> str:
    return msgspec.json.encode(value, order="sorted").decode()


def _texts() -> Iterator[str]:
    for number in range(COUNT):
        yield f"# {number}"
        yield from decision(number)


def stored() -> list[str]:
    """Return the lines of `decisions.txt`."""
    return FILE.read_text(encoding="utf-8").splitlines()


def texts() -> list[str]:
    """Return these lines for the operator as it is."""
    return list(_texts())


def main(arguments: Sequence[str]) -> None:
    if arguments:
        print(pformat(situation(int(arguments[0])), width=120))
        print("\n".join(decision(int(arguments[0]))))
    else:
        FILE.write_text("\n".join([*_texts(), ""]), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
