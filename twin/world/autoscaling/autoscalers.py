"""The HorizontalPodAutoscaler controller: each autoscaler is handled every 15 s, from 15 s after its creation.

Source: `pkg/controller/podautoscaler/horizontal.go` of Kubernetes 1.36, with the feature gate HPAScaleToZero off.
Several metrics are combined as there: the largest size wins, and one that cannot be read prevents a decrease. Not
simulated: Events, and restarts of the controller, which forget the stabilization windows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from formats.quantities import parse_quantity
from formats.timestamps import format_time
from twin.apiserver import ApiError, Change
from twin.apiserver.meta.objects import Object, key, split, with_conditions
from twin.apiserver.schema.resource_types import ResourceType
from twin.world.autoscaling.metric_sizes import MetricSizes, Target, UnreadableMetricError
from twin.world.autoscaling.metrics import Metrics
from twin.world.autoscaling.replica_count import DEFAULT_TOLERANCE, Tolerances
from twin.world.autoscaling.scaling_rules import Bounds, Decision, History, Reason, decide
from twin.world.context import WorldContext

AUTOSCALERS = "horizontalpodautoscalers.autoscaling"
SYNC_PERIOD = 15.0  # seconds; --horizontal-pod-autoscaler-sync-period
_HANDLING = 0.02  # seconds to read scale and metrics and to write the status; the next period begins after it
_MANAGER = "kube-controller-manager"
_GET_FAILED = "the HPA controller was unable to get the target's current scale: "
_UPDATE_FAILED = "the HPA controller was unable to update the target scale: "
_AT_ZERO = ("ScalingDisabled", "scaling is disabled since the replica count of the target is zero")


@dataclass(frozen=True, slots=True)
class _Status:
    """The status that is being made."""

    current: int
    desired: int
    metrics: Sequence[Object] | None
    conditions: Sequence[Object]
    scaled: bool = False


class Autoscalers:
    """Handles all HorizontalPodAutoscalers; costs nothing without any."""

    def __init__(self, context: WorldContext, metrics: Metrics) -> None:
        self._env = context.env
        self._store = context.store
        self._now = context.now
        self._on_failure = context.on_failure
        self._objects: dict[str, Object] = {}
        self._waiting: set[str] = set()
        self._histories: dict[str, History] = {}
        self._sizes = MetricSizes(self._store, metrics)
        self._store.subscribe(self._on_object, AUTOSCALERS)

    def _on_object(self, change: Change) -> None:
        name = key(change.object)
        if change.type == "DELETED":
            self._objects.pop(name, None)
        else:
            self._objects[name] = change.object
            self._wait(name, SYNC_PERIOD)

    def _wait(self, name: str, seconds: float) -> None:
        """Handle an autoscaler later, unless it is waiting already: a change does not wake it earlier."""
        if name not in self._waiting:
            self._waiting.add(name)
            self._env.timeout(seconds).callbacks.append(lambda _: self._handle(name))

    def _handle(self, name: str) -> None:
        autoscaler = self._objects.get(name)
        if autoscaler is None:
            self._waiting.discard(name)
            self._histories.pop(name, None)
            self._sizes.forget(name)
            return
        try:
            self._sync(name, autoscaler)
        except Exception as error:
            self._on_failure("horizontal-pod-autoscaler", name, error)
        self._waiting.discard(name)
        self._wait(name, SYNC_PERIOD + _HANDLING)

    def _sync(self, name: str, autoscaler: Object) -> None:
        before = autoscaler.get("status") or {}
        conditions = before.get("conditions") or ()
        reference = autoscaler["spec"]["scaleTargetRef"]
        try:
            kind = self._kind_of(reference)
            scale = self._store.get(kind.resource, split(name)[0], reference["name"], subresource="scale")
        except ApiError as error:
            reason = ("FailedGetScale", _GET_FAILED + error.message)
            self._write(name, before, {**before, "conditions": self._with(conditions, "AbleToScale", reason, "False")})
            return
        got = ("SucceededGetScale", "the HPA controller was able to get the target's current scale")
        status = _Status(
            current=scale["spec"]["replicas"],
            desired=before.get("desiredReplicas", 0),
            metrics=None,
            conditions=self._with(conditions, "AbleToScale", got),
        )
        self._write(name, before, self._body(before, self._scaled(name, autoscaler, (kind, scale), status)))

    def _kind_of(self, reference: Object) -> ResourceType:
        """Return the kind of a target, in whatever version it is served.

        Raises:
            ApiError: if there is no such kind, or it has no scale.
        """
        group = reference["apiVersion"].rpartition("/")[0]
        kind = next((item for item in self._store.kinds if (item.group, item.kind) == (group, reference["kind"])), None)
        if kind is None:
            raise ApiError(404, "NotFound", f'no matches for kind "{reference["kind"]}" in group "{group}"')
        if kind.scale is None:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        return kind

    def _scaled(self, name: str, autoscaler: Object, target: tuple[ResourceType, Object], status: _Status) -> _Status:
        """Change the target's size if it has to be another one; return the status."""
        spec, current = autoscaler["spec"], status.current
        bounds = Bounds(current, spec["minReplicas"], spec["maxReplicas"])
        history = self._histories.setdefault(name, History([(round(self._env.now * 1e6), current)]))
        if not current:
            conditions = self._with(status.conditions, "ScalingActive", _AT_ZERO, "False")
            return replace(status, desired=0, conditions=conditions)
        if not bounds.lowest <= current <= bounds.highest:
            desired = min(max(current, bounds.lowest), bounds.highest)
        else:
            try:
                sizes = self._sizes.of(name, autoscaler, Target(target[1], _tolerances(spec)))
            except UnreadableMetricError as error:
                conditions = self._with(status.conditions, "ScalingActive", error.reason, "False")
                return replace(status, metrics=error.statuses, conditions=conditions)
            decision = decide(sizes.replicas, bounds, spec.get("behavior"), history, self._env.now)
            status = replace(status, metrics=sizes.statuses, conditions=self._decided(status, sizes.metric, decision))
            desired = decision.replicas
        if desired == current:
            return replace(status, desired=desired)
        return self._resize(target, desired, status, (history, spec.get("behavior")))

    def _decided(self, status: _Status, metric: str, decision: Decision) -> list[Object]:
        found = f"the HPA was able to successfully calculate a replica count from {metric}"
        conditions = self._with(status.conditions, "ScalingActive", ("ValidMetricFound", found))
        conditions = self._with(conditions, "AbleToScale", decision.able)
        return self._with(conditions, "ScalingLimited", decision.limit, "True" if decision.limited else "False")

    def _resize(
        self, target: tuple[ResourceType, Object], desired: int, status: _Status, memory: tuple[History, Object | None]
    ) -> _Status:
        kind, scale = target
        history, behavior = memory
        sent = {"metadata": scale["metadata"], "spec": {"replicas": desired}}
        try:
            self._store.update(kind.resource, sent, subresource="scale", manager=_MANAGER)
        except ApiError as error:
            reason = ("FailedUpdateScale", _UPDATE_FAILED + error.message)
            return replace(status, conditions=self._with(status.conditions, "AbleToScale", reason, "False"))
        history.record_change(behavior, status.current, desired, self._env.now)
        done = ("SucceededRescale", f"the HPA controller was able to update the target scale to {desired}")
        conditions = self._with(status.conditions, "AbleToScale", done)
        return replace(status, desired=desired, conditions=conditions, scaled=True)

    def _with(self, conditions: Sequence[Object], type_: str, reason: Reason, status: str = "True") -> list[Object]:
        changed = {"type": type_, "status": status, "reason": reason[0], "message": reason[1]}
        return with_conditions(conditions, [changed], format_time(self._now()))

    def _body(self, before: Object, status: _Status) -> dict[str, Any]:
        body = {
            "currentReplicas": status.current,
            "desiredReplicas": status.desired,
            "currentMetrics": None if status.metrics is None else list(status.metrics),
            "conditions": list(status.conditions),
        }
        since = format_time(self._now()) if status.scaled else before.get("lastScaleTime")
        return {**body, **({"lastScaleTime": since} if since else {})}

    def _write(self, name: str, before: Object, status: Object) -> None:
        if before == {field: value for field, value in status.items() if value is not None}:
            return
        namespace, short = split(name)
        self._store.patch(AUTOSCALERS, namespace, short, {"status": status}, subresource="status", manager=_MANAGER)


def _tolerances(spec: Object) -> Tolerances:
    behavior = spec.get("behavior") or {}
    down, up = (
        float(parse_quantity((behavior.get(direction) or {}).get("tolerance", DEFAULT_TOLERANCE)))
        for direction in ("scaleDown", "scaleUp")
    )
    return Tolerances(down, up)
