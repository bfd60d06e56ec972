"""Build a scenario of an observation: initial objects, arrivals and departures, faults, and latencies.

The simulation begins with empty engines; the captured cluster did not. So the scenario starts with a lead time, long
enough for its pods to start and to load the adapters that existed at the start. The observed events follow at their own
times. Pods have other names in the simulation, so a fault of a pod selects one pod of the same Deployment.
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
"""Phase followed by a single API request before the next phase, so that its length is the latency of the API."""
_ARTIFACTS = {"bandwidth": "100Gbit/s"}
"""Observed loads include the download, so the simulated download takes no time."""
_AFTER = 60.0
"""Seconds after the captured period, so that operations in progress at its end can finish."""
_MANY = 50
"""Number of loads from which on the measured quantiles are used; short loads matter, since the first replica counts."""


@dataclass(frozen=True, slots=True)
class CapturedScenario:
    """The scenario and manifests to write."""

    scenario: dict[str, Any]
    manifests: list[Object]
    lead: float
    """Seconds of the scenario before the captured period."""
    notes: tuple[str, ...]


def build_scenario(observation: Observation, history: History, name: str) -> CapturedScenario:
    """Return the scenario. What could not be observed is a note."""
    objects, notes = captured_objects(observation)
    notes = [*observation.notes, *notes]
    templates = [strip_server_fields(item) for _, item in history.arrivals.values()]
    cleaned = redact_secrets([*objects, *templates, *placeholder_secrets(objects, templates)])
    manifests = [*cleaned[: len(objects)], *cleaned[len(objects) + len(templates) :]]
    arriving = dict(zip(history.arrivals, cleaned[len(objects) : len(objects) + len(templates)], strict=True))
    engines = [item for item in manifests if item["kind"] in ("Deployment", "StatefulSet", "Pod")]
    times = _times(history, notes)
    controller = _controller(observation, notes)
    lead = _lead(manifests, times, int(controller.get("max_requests_per_pod", Settings().max_requests_per_pod)))
    duration = lead + math.ceil(observation.seconds) + _AFTER
    scenario: dict[str, Any] = {
        "name": name,
        "description": f"A cluster captured for {_clock(observation.seconds)}, "
        f"after {_clock(lead)} in which its engines start and load the initial adapters.",
        "duration": format_duration(duration),
        "manifests": ["manifests.yaml"],
        "cluster": _cluster(observation, engines, times, history),
        "controller": controller,
        "adapters": [_template(key, item, lead, history) for key, item in arriving.items()],
        "edits": list(_edits(history, engines, lead)),
        "faults": list(faults(history, engines, lead, observation.seconds, notes)),
        "expect": [f"adapters.running >= {_running(observation)}", "invariants.violations == 0"],
    }
    filled = {key: value for key, value in scenario.items() if value}
    return CapturedScenario(filled, manifests, lead, tuple(dict.fromkeys(notes)))


@dataclass(frozen=True, slots=True)
class _Times:
    startup: Mapping[str, Latency]
    load: Mapping[str, Latency]
    pod_start: Latency | None
    api: Latency | None


def _times(history: History, notes: list[str]) -> _Times:
    """Return the observed latencies, fitted."""
    startups = {
        workload: fit_values(kept)
        for workload, values in history.startups.items()
        if (kept := [value for value in values if value <= _LONGEST_START])
    }
    loads = {workload: fit_values(values) for workload, values in history.loads.items() if workload}
    for workload, fit in loads.items():
        notes.append(f"loads on {workload}: {fit.sentence()}")
    if not loads:
        notes.append("no load was observed, so the default load time is used")
    if history.unloads:
        notes.append("unload times are not visible in the API, so the default is used")
    starts = [value for value in history.pod_starts if value <= _LONGEST_START]
    waits = [
        after - before
        for phases in history.phases.values()
        for (before, phase), (after, _) in itertools.pairwise(phases)
        if phase == _API
    ]
    return _Times(
        {workload: rounded(fit.latency) for workload, fit in startups.items()},
        {workload: rounded(_loading(fit, history.loads[workload])) for workload, fit in loads.items()},
        rounded(fit_values(starts).latency) if starts else None,
        rounded(Constant(median(waits))) if waits else None,
    )


def _loading(fit: Fit, values: Sequence[float]) -> Latency:
    """Return the measured quantiles if there are enough loads, otherwise the fitted family."""
    enough = len(values) >= _MANY and not isinstance(fit.latency, Constant)
    return as_measured(values) if enough else fit.latency


def _controller(observation: Observation, notes: list[str]) -> dict[str, Any]:
    """Return the operator's settings, as far as its Deployment shows them."""
    args = operator_args(observation)
    if args is None:
        notes.append("no Deployment of lora-controller was found, so default settings are used")
        return {}
    try:
        options = parse(*args)
    except (OptionError, SystemExit) as error:
        notes.append(f"the operator's flags could not be parsed, so default settings are used: {error}")
        return {}
    replicas = next(
        item["spec"].get("replicas", 1)
        for item in observation.first[DEPLOYMENTS.kind]
        if any(
            "lora-controller" in (container.get("command") or ())
            for container in item["spec"]["template"]["spec"]["containers"]
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
    """Return the settings that differ from the defaults, by scenario field."""
    default = Options()
    changed = {
        name: getattr(options, name)
        for name in (*_SAME, *_DURATIONS, *_RETRY.values())
        if getattr(options, name) != getattr(default, name)
    }
    settings = {name: changed[name] for name in _SAME if name in changed}
    settings |= {name: format_duration(changed[name]) for name in _DURATIONS if name in changed}
    retry = {
        field: format_duration(changed[name]) if field in ("base", "cap") else changed[name]
        for field, name in _RETRY.items()
        if name in changed
    }
    return {**settings, **({"retry": retry} if retry else {})}


def _cluster(observation: Observation, engines: Sequence[Object], times: _Times, history: History) -> dict[str, Any]:
    own: dict[str, Any] = {}
    for item in engines:
        name = item["metadata"]["name"]
        fitted = {"startup": times.startup.get(name), "load": times.load.get(name)}
        if settings := {key: show_distribution(value) for key, value in fitted.items() if value is not None}:
            own[name] = settings
    nodes = [
        {"name": node["metadata"]["name"], "gpus": _gpus(node), "zone": _zone(node)}
        for node in observation.first.get(NODES.kind, [])
    ]
    return {
        **({"nodes": nodes} if nodes else {}),
        **({"engines": own} if own else {}),
        **({"artifacts": _ARTIFACTS} if history.loads else {}),
        **({"pod_start": show_distribution(times.pod_start)} if times.pod_start is not None else {}),
        **({"api": {"latency": show_distribution(times.api)}} if times.api is not None else {}),
    }


def _gpus(node: Object) -> int:
    return int((node.get("status") or {}).get("allocatable", {}).get("nvidia.com/gpu", 0))


def _zone(node: Object) -> str:
    return str((node["metadata"].get("labels") or {}).get("topology.kubernetes.io/zone", ""))


def _lead(manifests: Sequence[Object], times: _Times, loads_per_pod: int) -> float:
    """Return the seconds until all initial engines and adapters are running again, in whole minutes."""
    start = max((latency.upper() for latency in times.startup.values()), default=90.0)
    start += times.pod_start.upper() if times.pod_start is not None else 10.0
    pods = (
        sum(
            item["spec"].get("replicas", 1)
            for item in manifests
            if item["kind"] in ("Deployment", "StatefulSet", "Pod")
        )
        or 1
    )
    held = sum(item["spec"].get("replicas", pods) for item in manifests if item["kind"] == ADAPTERS.kind)
    load = max((latency.mean() for latency in times.load.values()), default=3.0)
    worst = max((latency.upper() for latency in times.load.values()), default=20.0)
    settle = 2 * held / (pods * loads_per_pod) * load + (worst if held else 0.0)
    return 60.0 * math.ceil(float(start + settle + 30.0) / 60.0)


def _template(key: str, item: Object, lead: float, history: History) -> dict[str, Any]:
    """Return the template of an adapter that was created during the capture."""
    arrival, metadata = history.arrivals[key][0], item["metadata"]
    departure = history.departures.get(key)
    return {
        "name": metadata["name"],
        "namespace": metadata.get("namespace", "default"),
        **{name: metadata[name] for name in ("labels", "annotations") if metadata.get(name)},
        "spec": item["spec"],
        "arrive": {"at": at(lead + arrival)},
        **({"leave": {"at": at(lead + departure)}} if departure is not None else {}),
    }


def _edits(history: History, engines: Sequence[Object], lead: float) -> Iterator[dict[str, Any]]:
    """Yield the changes by users, and the deletions of initial adapters."""
    ours = {(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in engines}
    for t, kind, namespace, name, patch in history.edits:
        if kind == ADAPTERS.kind or (kind, namespace, name) in ours:
            yield {"at": at(lead + t), "of": f"{kind}/{name}", "namespace": namespace, "patch": patch}
    for key, t in history.departures.items():
        if key not in history.arrivals:
            namespace, name = key.split("/")
            yield {"at": at(lead + t), "of": f"{ADAPTERS.kind}/{name}", "namespace": namespace, "delete": True}


def _running(observation: Observation) -> int:
    """Return the number of adapters that were running at the end of the capture."""
    last: dict[str, Object] = {}
    for item in observation.first.get(ADAPTERS.kind, []):
        last[item["metadata"]["uid"]] = item
    for change in observation.changes:
        if change.kind == ADAPTERS.kind:
            last[change.object["metadata"]["uid"]] = change.object
            if change.type == "DELETED":
                del last[change.object["metadata"]["uid"]]
    there = [item for item in last.values() if "deletionTimestamp" not in item["metadata"]]
    return sum((item.get("status") or {}).get("phase") == "Running" or is_true(item, "Ready") for item in there)


def _clock(seconds: float) -> str:
    return format_duration(float(round(seconds)))
