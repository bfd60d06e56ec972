"""A served world at one moment, in numbers and names: what the status page shows."""

from collections import Counter
from typing import Any

from twin.apiserver import Object
from twin.apiserver.meta.objects import is_true, key
from twin.serve.clock import RealTimeClock
from twin.serve.network.engine_sockets import ADDRESS
from twin.sim.simulation import Simulation
from twin.trace.lines import ApiLine, FaultLine, Line, RequestLine

_MOST = 500
"""Adapters and pods that are shown one by one."""
_WRONG = ("Ready", "FullyReplicated", "BaseModelServed")
"""Conditions whose being False says that something is not as it should be."""
_ADAPTERS = "modeladapters.model.aibrix.ai"


class StatusPage:
    """Counts as the record grows; the rest is read from the store when asked."""

    def __init__(self, simulation: Simulation, clock: RealTimeClock) -> None:
        self._simulation = simulation
        self._clock = clock
        self._loads: Counter[str] = Counter()
        self._api: Counter[str] = Counter()
        self._faults: dict[int, FaultLine] = {}
        for line in simulation.recorder.lines:
            self._see(line)
        simulation.recorder.on_line.append(self._see)

    def now(self) -> dict[str, Any]:
        """The moment."""
        simulation, store = self._simulation, self._simulation.store
        adapters = store.list(_ADAPTERS).items
        pods = store.list("pods").items
        phases = Counter(str((each.get("status") or {}).get("phase") or "new") for each in adapters)
        leading = [replica.name for replica in simulation.replicas if replica.leading]
        return {
            "name": simulation.scenario.name,
            "seconds": round(float(simulation.env.now), 3),
            "wallTime": simulation.wall_time().isoformat(timespec="seconds"),
            "scenarioSeconds": simulation.scenario.duration,
            "speed": self._clock.speed,
            "paused": self._clock.paused,
            "adapters": {"total": len(adapters), **dict(sorted(phases.items()))},
            "pods": {"total": len(pods), "ready": sum(is_true(pod, "Ready") for pod in pods)},
            "loads": dict(sorted(self._loads.items())),
            "apiWrites": dict(sorted(self._api.items())),
            "leading": leading,
            "faults": [
                {"number": line.id, "kind": line.fault, "targets": line.targets, "since": line.t}
                for line in self._faults.values()
            ],
            "adapterList": [_adapter(each) for each in adapters[:_MOST]],
            "podList": [self._pod(each) for each in pods[:_MOST]],
        }

    def _see(self, line: Line) -> None:
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

    def _pod(self, pod: Object) -> dict[str, Any]:
        host = self._simulation.world.host_of(key(pod))
        engine = host.engine if host is not None else None
        return {
            "name": key(pod),
            "ready": is_true(pod, "Ready"),
            "node": pod["spec"].get("nodeName", ""),
            "ip": (pod.get("status") or {}).get("podIP", ""),
            "address": (pod["metadata"].get("annotations") or {}).get(ADDRESS, ""),
            "adapters": list(engine.adapters) if engine is not None else [],
        }


def _adapter(adapter: Object) -> dict[str, Any]:
    status = adapter.get("status") or {}
    conditions = status.get("conditions") or []
    wrong: Object = next((each for each in conditions if each["type"] in _WRONG and each["status"] == "False"), {})
    return {
        "name": key(adapter),
        "phase": status.get("phase", ""),
        "ready": status.get("readyReplicas", 0),
        "desired": status.get("desiredReplicas"),
        "instances": status.get("instances", []),
        "message": wrong.get("message", ""),
    }
