"""Synthetic traces for tests of their readers: plausible, of any size, and reproducible.

Nothing here simulates; it writes down a story that could have happened, with refused loads, a switch, an engine that
restarts and adapters that never get to run.
"""

from dataclasses import dataclass, field

from msgspec.structs import replace

from twin.trace.lines import AdapterLine, Counts, EngineLine, EventLine, FaultLine, Line, PodLine, RequestLine, Run

STEPS = (("Pending", 0.0), ("Scheduled", 0.1), ("Loading", 0.2), ("Bound", 0.4), ("Running", 0.6))


@dataclass
class Writer:
    """Collects lines in any order; `lines` has them by time."""

    duration: float = 600.0
    name: str = "made-up"
    seed: int = 7
    notes: list[str] = field(default_factory=list)
    rest: list[Line] = field(default_factory=list)
    requests: int = 0

    @property
    def lines(self) -> list[Line]:
        run = Run(
            t=0.0,
            name=self.name,
            seed=self.seed,
            version="0.1.0",
            duration=self.duration,
            epoch="2026-01-01T00:00:00Z",
            policy="least-adapters",
            replicas=1,
            stable_for=5.0,
            retry_waits=[5.0, 10.0, 20.0, 40.0, 80.0],
            pod_cooldown=300.0,
            audit_interval=60.0,
            notice=2.0,
            max_requests_per_pod=2,
            load_timeout=300.0,
            pod_start=120.0,
            notes=self.notes,
        )
        in_order = sorted(self.rest, key=lambda line: line.t)
        return [run, *(replace(line, t=round(line.t, 6)) for line in in_order)]

    def pod(self, name: str, t: float, *, ready: float, gone: float | None = None, node: str = "node-0") -> None:
        def line(at: float, event: str, is_ready: bool) -> PodLine:
            since = float(int(at)) if is_ready else None
            return PodLine(
                t=at,
                object=f"default/{name}",
                event=event,  # type: ignore[arg-type]
                uid=f"uid-{name}",
                workload="model",
                node=node,
                ip="10.0.0.1",
                phase="Running",
                ready=is_ready,
                ready_since=since,
                engine=f"{name}-engine-1",
            )

        self.rest += [line(t, "created", False), line(ready, "updated", True)]
        if gone is not None:
            self.rest.append(line(gone, "deleted", False))

    def adapter(
        self, name: str, t: float, phases: list[tuple[float, str]], *, message: str = "", pod: str = ""
    ) -> None:
        base = {"object": f"default/{name}", "uid": f"uid-{name}", "generation": 1, "wanted": 1}
        artifact = f"huggingface://acme/{name}"
        self.rest.append(AdapterLine(t=t, event="created", artifact=artifact, **base))  # type: ignore[arg-type]
        for at, phase in phases:
            held = [pod] if phase in ("Bound", "Running") else []
            said = message if phase == phases[-1][1] else ""
            self.rest.append(
                AdapterLine(
                    t=at,
                    event="updated",
                    artifact=artifact,
                    phase=phase,
                    message=said,
                    instances=held,
                    **base,  # type: ignore[arg-type]
                )
            )

    def gone(self, name: str, t: float) -> None:
        self.rest.append(
            AdapterLine(t=t, object=f"default/{name}", event="deleted", uid=f"uid-{name}", generation=1, artifact="")
        )

    def request(
        self, adapter: str, pod: str, t: float, took: float, *, status: int = 200, error: str = "", verb: str = "load"
    ) -> None:
        self.requests += 1
        base = {"object": f"default/{pod}", "id": self.requests, "by": "controller-0", "verb": verb, "adapter": adapter}
        self.rest.append(RequestLine(t=t, event="sent", **base))  # type: ignore[arg-type]
        self.rest.append(RequestLine(t=t + took, event="done", status=status, error=error, **base))  # type: ignore[arg-type]
        if status == 200:
            event = "loaded" if verb == "load" else "unloaded"
            self.rest.append(
                EngineLine(t=t + took, object=f"default/{pod}", engine=f"{pod}-engine-1", event=event, adapter=adapter)  # type: ignore[arg-type]
            )

    def fault(self, id_: int, kind: str, start: float, end: float | None, targets: list[str]) -> None:
        if end is None:
            self.rest.append(FaultLine(t=start, id=id_, fault=kind, event="strike", targets=targets))
            return
        self.rest.append(FaultLine(t=start, id=id_, fault=kind, event="begin", targets=targets))
        self.rest.append(FaultLine(t=end, id=id_, fault=kind, event="end", targets=targets))


def a_run(pods: int = 8, adapters: int = 40, duration: float = 1800.0, *, unlucky: int = 2) -> list[Line]:
    """Return a trace: adapters arrive in the first half, `unlucky` of them fail, every fifth changes its pod."""
    w = Writer(duration=duration, notes=["pods of model have a runtime sidecar; their engines are reached directly"])
    names = [f"qwen-coder-1-5b-instruct-6f7c9d{i:03}-x{i % 10}k{i:02}" for i in range(pods)]
    for i, name in enumerate(names):
        w.pod(name, 0.0, ready=40.0 + 3 * (i % 7), gone=duration * 0.6 if i == pods - 1 else None)
    last = names[-1]
    w.fault(
        0, "connection-refused", duration * 0.2, duration * 0.45, [f"default/{n}" for n in names[: max(pods // 4, 1)]]
    )
    w.fault(1, "engine-restart", duration * 0.5, None, [f"default/{names[1 % pods]}"])
    w.fault(2, "pod-kill", duration * 0.6, None, [f"default/{last}"])
    w.rest.append(EngineLine(t=duration * 0.5, object=f"default/{names[1 % pods]}", engine="second", event="started"))
    for i in range(adapters):
        _arrival(w, i, 60 + duration * 0.4 * i / adapters, names, failed=i < unlucky)
    for minute in range(1, int(duration // 60) + 1):
        busy = 4 if minute * 60 < duration / 2 else 1
        w.rest.append(
            Counts(
                t=minute * 60.0,
                seconds=60.0,
                counts={
                    "engine.list": pods,
                    "engine.load": busy * (minute % 5),
                    "api.get": busy,
                    "api.patch": 6 * busy * (minute % 5),
                    "api.conflicts": minute % 2,
                },
            )
        )
    return w.lines


def _arrival(w: Writer, i: int, t: float, names: list[str], *, failed: bool) -> None:
    name, pod = f"sql-{i:02}", names[i % len(names)]
    if failed:
        error = f"LoRA rank 64 is greater than max_lora_rank 16 <{name}>."
        w.request(name, pod, t + 0.2, 0.4, status=500, error=error)
        w.adapter(name, t, [(t + 0.1, "Pending"), (t + 0.2, "Loading"), (t + 0.7, "Failed")], message=error)
        return
    took = 1.0 + (i * 7 % 11) / 3
    if i % 5 == 4:
        start = t + 0.3
        for wait in (5.0, 10.0, 20.0, 40.0, 80.0, 0.0):
            w.request(name, pod, start, 0.01, status=0, error="[Errno 111] Connection refused")
            start += wait
        w.rest.append(EventLine(t=start + 1, object=f"default/{name}", type="Normal", reason="Switched", note="moved"))
        pod = names[(i + 1) % len(names)]
        w.request(name, pod, start + 1, took)
        w.adapter(name, t, [(t + 0.1, "Pending"), (t + 0.2, "Loading"), (start + 1 + took, "Running")], pod=pod)
        return
    w.request(name, pod, t + 0.2, took)
    w.adapter(name, t, [(t + offset + (took if i > 1 else 0), phase) for phase, offset in STEPS], pod=pod)
    if i % 9 == 8:
        w.request(name, pod, t + 400, 0.1, verb="unload")
        w.gone(name, t + 401)


MEASURES = {
    "adapters": {"total": 44, "running": 38, "failed": 2, "pending": 0, "deleted": 4},
    "time_to_running_seconds": {"p50": 3.6, "p95": 159.2, "p99": 160.0, "max": 161.0, "mean": 40.25},
    "loads": {"attempted": 88, "succeeded": 38, "failed_retriable": 48, "failed_final": 2, "redundant": 0},
    "availability": 0.99321,
    "pod_switches": 8,
    "recovery_seconds": {"p50": None, "p95": None, "max": None},
    "invariants": {"checked": 1234, "violations": 0, "first": None},
}
"""A summary's numbers, for tests that don't compute them."""
