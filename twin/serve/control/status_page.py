"""The state of a served world in numbers and names, as the status page shows it."""

from collections import Counter

from twin.apiserver import Object
from twin.apiserver.meta.objects import is_true, key
from twin.serve.clock import RealTimeClock
from twin.serve.control.models import ActiveFaultStatus, AdapterStatus, PodStatus, WorldStatus
from twin.serve.network.engine_sockets import ADDRESS
from twin.sim.simulation import Simulation
from twin.trace.lines import ApiLine, FaultLine, Line, RequestLine

_LIST_LIMIT = 500
"""Number of adapters and of pods that are listed one by one."""
_HEALTHY_IF_TRUE = ("Ready", "FullyReplicated", "BaseModelServed", "SlicesAdopted")
"""Conditions whose message is shown when they are False."""
_ADAPTERS = "modeladapters.model.aibrix.ai"


class StatusPage:
    """Counts events as they are recorded; everything else is read from the store on request."""

    def __init__(self, simulation: Simulation, clock: RealTimeClock) -> None:
        self._simulation = simulation
        self._clock = clock
        self._loads: Counter[str] = Counter()
        self._api: Counter[str] = Counter()
        self._faults: dict[int, FaultLine] = {}
        for line in simulation.recorder.lines:
            self._count(line)
        simulation.recorder.subscribe(self._count)

    def now(self) -> WorldStatus:
        """Return the present state."""
        simulation, store = self._simulation, self._simulation.store
        adapters = store.list(_ADAPTERS).items
        pods = store.list("pods").items
        phases = Counter(str((item.get("status") or {}).get("phase") or "new") for item in adapters)
        return WorldStatus(
            name=simulation.scenario.name,
            seconds=round(float(simulation.env.now), 3),
            wall_time=simulation.wall_time().isoformat(timespec="seconds"),
            scenario_seconds=simulation.scenario.duration,
            speed=self._clock.speed,
            paused=self._clock.paused,
            adapters={"total": len(adapters), **dict(sorted(phases.items()))},
            pods={"total": len(pods), "ready": sum(is_true(pod, "Ready") for pod in pods)},
            loads=dict(sorted(self._loads.items())),
            api_writes=dict(sorted(self._api.items())),
            leading=[replica.name for replica in simulation.replicas if replica.leading],
            faults=[
                ActiveFaultStatus(number=line.id, kind=line.fault, targets=line.targets, since=line.t)
                for line in self._faults.values()
            ],
            adapter_list=[_adapter(item) for item in adapters[:_LIST_LIMIT]],
            pod_list=[self._pod(pod) for pod in pods[:_LIST_LIMIT]],
        )

    def is_active(self, number: int) -> bool:
        """Return whether a fault has begun and lasts."""
        return number in self._faults

    def _count(self, line: Line) -> None:
        match line:
            case RequestLine(event="sent"):
                self._loads[f"{line.verb}s"] += 1
            case RequestLine():
                self._loads[f"{line.verb}s {'done' if line.status == 200 else 'failed'}"] += 1
            case ApiLine():
                self._api[line.verb if line.code < 400 else "refused"] += 1
            case FaultLine(event="begin"):
                self._faults[line.id] = line
            case FaultLine(event="end"):
                self._faults.pop(line.id, None)

    def _pod(self, pod: Object) -> PodStatus:
        host = self._simulation.world.host_of(key(pod))
        engine = host.engine if host is not None else None
        return PodStatus(
            name=key(pod),
            ready=is_true(pod, "Ready"),
            node=pod["spec"].get("nodeName", ""),
            ip=(pod.get("status") or {}).get("podIP", ""),
            address=(pod["metadata"].get("annotations") or {}).get(ADDRESS, ""),
            adapters=list(engine.adapters) if engine is not None else [],
        )


def _adapter(adapter: Object) -> AdapterStatus:
    status = adapter.get("status") or {}
    conditions = status.get("conditions") or []
    unhealthy: Object = next(
        (item for item in conditions if item["type"] in _HEALTHY_IF_TRUE and item["status"] == "False"), {}
    )
    return AdapterStatus(
        name=key(adapter),
        phase=status.get("phase", ""),
        ready=status.get("readyReplicas", 0),
        desired=status.get("desiredReplicas"),
        instances=status.get("instances", []),
        message=unhealthy.get("message", ""),
    )
