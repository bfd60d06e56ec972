"""Rules of StatefulSets, DaemonSets and Jobs: defaults that affect timing, and immutable fields.

Sources: `pkg/apis/apps/v1/defaults.go`, `pkg/apis/batch/v1/defaults.go`, the validation next to them, and the
strategies in `pkg/registry/apps` and `pkg/registry/batch`.
"""

from twin.apiserver.meta.errors import FieldError, Object, forbidden_field, invalid, required, unsupported
from twin.apiserver.patch.json_patch import json_equal
from twin.apiserver.registry.workloads import int_or_percent_errors, pod_spec, workload_spec
from twin.apiserver.schema.metadata import dns_label

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_POLICIES = ("OrderedReady", "Parallel")
_STRATEGIES = ("RollingUpdate", "OnDelete")
_STATEFUL_DEFAULTS: Object = {"replicas": 1, "revisionHistoryLimit": 10, "podManagementPolicy": "OrderedReady"}
_RETENTION: Object = {"whenDeleted": "Retain", "whenScaled": "Retain"}
_JOB_DEFAULTS: Object = {
    "parallelism": 1,
    "backoffLimit": 6,
    "completionMode": "NonIndexed",
    "suspend": False,
    "manualSelector": False,
    "podReplacementPolicy": "TerminatingOrFailed",
}
_JOB_LABELS = ("job-name", "batch.kubernetes.io/job-name")
_JOB_UIDS = ("controller-uid", "batch.kubernetes.io/controller-uid")
_MUTABLE_OF_STATEFUL_SET = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_STATEFUL_UPDATE = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def admit_stateful_set(new: Object, old: Object | None, errors: list[FieldError]) -> Object:
    """Validate a StatefulSet and set its defaults; most of its spec is immutable."""
    spec = new.get("spec") or {}
    if old is not None and spec is old.get("spec"):
        return new
    strategy = spec.get("updateStrategy") or {"type": "RollingUpdate", "rollingUpdate": {}}
    strategy = {"type": "RollingUpdate", **strategy}
    if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
        strategy["rollingUpdate"] = {"partition": 0, **strategy["rollingUpdate"]}
    _check_strategy(strategy, errors)
    retention = {**_RETENTION, **(spec.get("persistentVolumeClaimRetentionPolicy") or {})}
    filled = {**_STATEFUL_DEFAULTS, **spec, "updateStrategy": strategy}
    filled["persistentVolumeClaimRetentionPolicy"] = retention
    if filled["podManagementPolicy"] not in _POLICIES:
        detail = "must be 'OrderedReady' or 'Parallel'"
        errors.append(invalid("spec.podManagementPolicy", filled["podManagementPolicy"], detail))
    name = spec.get("serviceName")
    errors += [invalid("spec.serviceName", name, error) for error in (dns_label(name) if name and old is None else ())]
    filled = workload_spec(filled, old, errors, "statefulset")
    if old is not None and not json_equal(_fixed(filled), _fixed(old["spec"])):
        errors.append(forbidden_field("spec", _STATEFUL_UPDATE))
    return {**new, "spec": filled}


def _check_strategy(strategy: Object, errors: list[FieldError]) -> None:
    if strategy["type"] not in _STRATEGIES:
        errors.append(invalid("spec.updateStrategy", strategy, "must be 'RollingUpdate' or 'OnDelete'"))
    elif strategy["type"] == "OnDelete" and strategy.get("rollingUpdate") is not None:
        detail = "only allowed for updateStrategy 'RollingUpdate'"
        errors.append(invalid("spec.updateStrategy.rollingUpdate", strategy["rollingUpdate"], detail))
    partition = (strategy.get("rollingUpdate") or {}).get("partition", 0)
    if type(partition) is not int or partition < 0:
        detail = "must be greater than or equal to 0"
        errors.append(invalid("spec.updateStrategy.rollingUpdate.partition", partition, detail))


def _fixed(spec: Object) -> Object:
    return {name: value for name, value in spec.items() if name not in _MUTABLE_OF_STATEFUL_SET}


def admit_daemon_set(new: Object, old: Object | None, errors: list[FieldError]) -> Object:
    """Validate a DaemonSet, set its defaults, and count the changes of its template in an annotation."""
    spec = new.get("spec") or {}
    if old is not None and spec is old.get("spec"):
        return new
    strategy = {"type": "RollingUpdate", **(spec.get("updateStrategy") or {})}
    if strategy["type"] == "RollingUpdate":
        rolling = {"maxUnavailable": 1, "maxSurge": 0, **(strategy.get("rollingUpdate") or {})}
        errors += int_or_percent_errors("spec.updateStrategy.rollingUpdate", rolling, ("maxUnavailable", "maxSurge"))
        strategy["rollingUpdate"] = rolling
    elif strategy["type"] != "OnDelete":
        errors.append(unsupported("spec.updateStrategy.type", strategy["type"], _STRATEGIES))
    filled = workload_spec({"revisionHistoryLimit": 10, **spec, "updateStrategy": strategy}, old, errors, "daemonset")
    generation = _template_generation(filled, old)
    annotations = {**(new["metadata"].get("annotations") or {}), TEMPLATE_GENERATION: str(generation)}
    return {**new, "metadata": {**new["metadata"], "annotations": annotations}, "spec": filled}


def _template_generation(spec: Object, old: Object | None) -> int:
    if old is None:
        return 1
    text = str((old["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION, 1))
    before = int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 1
    return before if json_equal(spec["template"], old["spec"]["template"]) else before + 1


def admit_job(new: Object, old: Object | None, errors: list[FieldError]) -> Object:
    """Validate a Job and set its defaults; selector and labels of its pods contain its name and uid."""
    spec = new.get("spec") or {}
    if old is not None and spec is old.get("spec"):
        return new
    filled = {**_JOB_DEFAULTS, **spec}
    if spec.get("completions") is None and spec.get("parallelism") is None:
        filled["completions"] = 1
    if filled["completionMode"] == "Indexed" and filled.get("completions") is None:
        errors.append(required("spec.completions", "when completion mode is Indexed"))
    for name in ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"):
        number = filled.get(name)
        if number is not None and (type(number) is not int or number < 0):
            errors.append(invalid(f"spec.{name}", number, "must be greater than or equal to 0"))
    if old is not None:
        errors += [
            invalid(f"spec.{name}", filled.get(name), "field is immutable")
            for name in ("selector", "template", "completionMode")
            if not json_equal(filled.get(name), old["spec"].get(name))
        ]
        return {**new, "spec": filled}
    return {**new, "spec": {**filled, **_with_identity(new["metadata"], filled, errors)}}


def _with_identity(meta: Object, spec: Object, errors: list[FieldError]) -> Object:
    """Return selector and template of a new Job."""
    template = spec.get("template") or {}
    own = {**dict.fromkeys(_JOB_LABELS, meta["name"]), **dict.fromkeys(_JOB_UIDS, meta["uid"])}
    labels = {**own, **((template.get("metadata") or {}).get("labels") or {})}
    selector = spec.get("selector") or {}
    if not spec["manualSelector"]:
        matched = {_JOB_UIDS[1]: meta["uid"], **(selector.get("matchLabels") or {})}
        selector = {**selector, "matchLabels": matched}
        template = {**template, "metadata": {**(template.get("metadata") or {}), "labels": labels}}
    policy = (template.get("spec") or {}).get("restartPolicy", "Always")
    if policy == "Always":
        errors.append(required("spec.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"'))
    filled = pod_spec(template.get("spec") or {}, "spec.template.spec", errors)
    return {"selector": selector, "template": {**template, "spec": filled}}
