"""A scenario of what was seen: what stood there, who came and went, what broke, how long things took.

The simulated world begins with empty engines, the cluster that was looked at did not. So the scenario has a lead, long
enough for its pods to start and for the adapters that were there already to be loaded; what happened during the look
comes after it, at its own times. Pods get other names, so a fault of a pod hits one of the same Deployment.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from controller.option_types import OptionError
from controller.options import Options, parse
from controller.settings import Settings
from fake_vllm.distributions import Constant, Latency
from formats.durations import format_duration
from twin.calibration import Fit, as_measured, fit_values, rounded
from twin.capture.accessors import is_true
from twin.capture.client import ADAPTERS, DEPLOYMENTS, NODES, Object
from twin.capture.faults import at, faults
from twin.capture.history import History
from twin.capture.sanitize import (
    captured_objects,
    operator_args,
    placeholder_secrets,
    redact_secrets,
    strip_server_fields,
)
from twin.capture.watcher import Observation
from twin.scenario.sections.distributions import show_distribution

_LONGEST_START = 3600.0
"""Seconds; a pod that took longer was not starting all the time."""
_API = "Scheduled"
"""Between writing this phase and the next there is one request to the API server: how long those take is seen there."""
_ARTIFACTS = {"bandwidth": "100Gbit/s"}
"""Loads as they were seen have the download in them."""
_AFTER = 60.0
"""Seconds that the scenario goes on: what was under way when the look ended gets done, a little sooner or later."""
_MANY = 50
"""Loads from which on their own quantiles are taken: the first of two replicas is what counts, so low ones matter."""


@dataclass(frozen=True, slots=True)
class CapturedScenario:
    """What is written."""

    scenario: dict[str, Any]
    manifests: list[Object]
    lead: float
    """Seconds of the scenario before the look begins."""
    notes: tuple[str, ...]


def build_scenario(seen: Observation, found: History, name: str) -> CapturedScenario:
    """The scenario. What could not be seen is a note."""
    objects, notes = captured_objects(seen)
    notes = [*seen.notes, *notes]
    templates = [strip_server_fields(item) for _, item in found.arrivals.values()]
    cleaned = redact_secrets([*objects, *templates, *placeholder_secrets(objects, templates)])
    manifests = [*cleaned[: len(objects)], *cleaned[len(objects) + len(templates) :]]
    arriving = dict(zip(found.arrivals, cleaned[len(objects) : len(objects) + len(templates)], strict=True))
    engines = [item for item in manifests if item["kind"] in ("Deployment", "Pod")]
    times = _times(found, notes)
    controller = _controller(seen, notes)
    lead = _lead(manifests, times, int(controller.get("max_requests_per_pod", Settings().max_requests_per_pod)))
    duration = lead + math.ceil(seen.seconds) + _AFTER
    scenario: dict[str, Any] = {
        "name": name,
        "description": f"What if it were otherwise? A cluster as it was seen for {_clock(seen.seconds)}, "
        f"after {_clock(lead)} in which its engines start and take the adapters that were there.",
        "duration": format_duration(duration),
        "manifests": ["manifests.yaml"],
        "cluster": _cluster(seen, engines, times, found),
        "controller": controller,
        "adapters": [_template(key, item, lead, found) for key, item in arriving.items()],
        "edits": list(_edits(found, engines, lead)),
        "faults": list(faults(found, engines, lead, seen.seconds, notes)),
        "expect": [f"adapters.running >= {_running(seen)}", "invariants.violations == 0"],
    }
    filled = {key: value for key, value in scenario.items() if value}
    return CapturedScenario(filled, manifests, lead, tuple(dict.fromkeys(notes)))


@dataclass(frozen=True, slots=True)
class _Times:
    startup: Mapping[str, Latency]
    load: Mapping[str, Latency]
    pod_start: Latency | None
    api: Latency | None


def _times(found: History, notes: list[str]) -> _Times:
    """What was seen of how long things take, fitted."""
    startups = {
        workload: fit_values(kept)
        for workload, values in found.startups.items()
        if (kept := [value for value in values if value <= _LONGEST_START])
    }
    loads = {workload: fit_values(values) for workload, values in found.loads.items() if workload}
    for workload, fit in loads.items():
        notes.append(f"loads on {workload}: {fit.sentence()}")
    if not loads:
        notes.append("no load was seen, so the default stands for how long one takes")
    if found.unloads:
        notes.append("how long an unload takes does not show in the API; the default stands for it")
    starts = [value for value in found.pod_starts if value <= _LONGEST_START]
    waits = [
        after - before
        for phases in found.phases.values()
        for (before, phase), (after, _) in itertools.pairwise(phases)
        if phase == _API
    ]
    return _Times(
        {workload: rounded(fit.latency) for workload, fit in startups.items()},
        {workload: rounded(_loading(fit, found.loads[workload])) for workload, fit in loads.items()},
        rounded(fit_values(starts).latency) if starts else None,
        rounded(Constant(median(waits))) if waits else None,
    )


def _loading(fit: Fit, values: Sequence[float]) -> Latency:
    """Enough loads speak for themselves; a family is for those that were too few to."""
    enough = len(values) >= _MANY and not isinstance(fit.latency, Constant)
    return as_measured(values) if enough else fit.latency


def _controller(seen: Observation, notes: list[str]) -> dict[str, Any]:
    """The operator's settings, as far as its Deployment shows them."""
    words = operator_args(seen)
    if words is None:
        notes.append("no Deployment of lora-controller was seen, so the operator has its default settings")
        return {}
    try:
        options = parse(*words)
    except (OptionError, SystemExit) as error:
        notes.append(f"the operator's flags could not be read, so it has its default settings: {error}")
        return {}
    replicas = next(
        item["spec"].get("replicas", 1)
        for item in seen.first[DEPLOYMENTS.kind]
        if any(
            "lora-controller" in (each.get("command") or ()) for each in item["spec"]["template"]["spec"]["containers"]
        )
    )
    return {**({"replicas": replicas} if replicas > 1 else {}), **_settings(options)}


_SAME = ("policy", "max_concurrent_reconciles", "max_requests_per_pod", "enable_runtime_sidecar")
_DURATIONS = ("stable_for", "unready_grace", "pod_cooldown", "audit_interval", "list_timeout", "load_timeout")
_RETRY = {
    "retries": "retries",
    "base": "retry_base",
    "factor": "retry_factor",
    "cap": "retry_cap",
    "jitter": "retry_jitter",
}
"""Field of a scenario's `controller.retry` to the operator's option."""


def _settings(options: Options) -> dict[str, Any]:
    """Those that are not the defaults, by the scenario's names."""
    default = Options()
    changed = {
        name: getattr(options, name)
        for name in (*_SAME, *_DURATIONS, *_RETRY.values())
        if getattr(options, name) != getattr(default, name)
    }
    found = {name: changed[name] for name in _SAME if name in changed}
    found |= {name: format_duration(changed[name]) for name in _DURATIONS if name in changed}
    retry = {
        field: format_duration(changed[name]) if field in ("base", "cap") else changed[name]
        for field, name in _RETRY.items()
        if name in changed
    }
    return {**found, **({"retry": retry} if retry else {})}


def _cluster(seen: Observation, engines: Sequence[Object], times: _Times, found: History) -> dict[str, Any]:
    own: dict[str, Any] = {}
    for item in engines:
        name = item["metadata"]["name"]
        given = {"startup": times.startup.get(name), "load": times.load.get(name)}
        if shown := {key: show_distribution(value) for key, value in given.items() if value is not None}:
            own[name] = shown
    nodes = [
        {"name": node["metadata"]["name"], "gpus": _gpus(node), "zone": _zone(node)}
        for node in seen.first.get(NODES.kind, [])
    ]
    return {
        **({"nodes": nodes} if nodes else {}),
        **({"engines": own} if own else {}),
        **({"artifacts": _ARTIFACTS} if found.loads else {}),
        **({"pod_start": show_distribution(times.pod_start)} if times.pod_start is not None else {}),
        **({"api": {"latency": show_distribution(times.api)}} if times.api is not None else {}),
    }


def _gpus(node: Object) -> int:
    return int((node.get("status") or {}).get("allocatable", {}).get("nvidia.com/gpu", 0))


def _zone(node: Object) -> str:
    return str((node["metadata"].get("labels") or {}).get("topology.kubernetes.io/zone", ""))


def _lead(manifests: Sequence[Object], times: _Times, loads_per_pod: int) -> float:
    """Seconds until everything that stood there stands again, in whole minutes."""
    start = max((latency.upper() for latency in times.startup.values()), default=90.0)
    start += times.pod_start.upper() if times.pod_start is not None else 10.0
    pods = sum(item["spec"].get("replicas", 1) for item in manifests if item["kind"] in ("Deployment", "Pod")) or 1
    held = sum(item["spec"].get("replicas", pods) for item in manifests if item["kind"] == ADAPTERS.kind)
    load = max((latency.mean() for latency in times.load.values()), default=3.0)
    worst = max((latency.upper() for latency in times.load.values()), default=20.0)
    settle = 2 * held / (pods * loads_per_pod) * load + (worst if held else 0.0)
    return 60.0 * math.ceil(float(start + settle + 30.0) / 60.0)


def _template(key: str, item: Object, lead: float, found: History) -> dict[str, Any]:
    """An adapter that came during the look."""
    came, metadata = found.arrivals[key][0], item["metadata"]
    left = found.departures.get(key)
    return {
        "name": metadata["name"],
        "namespace": metadata.get("namespace", "default"),
        **{name: metadata[name] for name in ("labels", "annotations") if metadata.get(name)},
        "spec": item["spec"],
        "arrive": {"at": at(lead + came)},
        **({"leave": {"at": at(lead + left)}} if left is not None else {}),
    }


def _edits(found: History, engines: Sequence[Object], lead: float) -> Iterator[dict[str, Any]]:
    """What users changed; and the deletion of adapters that were there before."""
    ours = {(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in engines}
    for t, kind, namespace, name, patch in found.edits:
        if kind == ADAPTERS.kind or (kind, namespace, name) in ours:
            yield {"at": at(lead + t), "of": f"{kind}/{name}", "namespace": namespace, "patch": patch}
    for key, t in found.departures.items():
        if key not in found.arrivals:
            namespace, name = key.split("/")
            yield {"at": at(lead + t), "of": f"{ADAPTERS.kind}/{name}", "namespace": namespace, "delete": True}


def _running(seen: Observation) -> int:
    """Adapters that served when the look ended."""
    last: dict[str, Object] = {}
    for item in seen.first.get(ADAPTERS.kind, []):
        last[item["metadata"]["uid"]] = item
    for change in seen.changes:
        if change.kind == ADAPTERS.kind:
            last[change.object["metadata"]["uid"]] = change.object
            if change.type == "DELETED":
                del last[change.object["metadata"]["uid"]]
    there = [item for item in last.values() if "deletionTimestamp" not in item["metadata"]]
    return sum((item.get("status") or {}).get("phase") == "Running" or is_true(item, "Ready") for item in there)


def _clock(seconds: float) -> str:
    return format_duration(float(round(seconds)))
