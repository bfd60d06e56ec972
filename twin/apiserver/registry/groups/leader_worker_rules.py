"""Rules of LeaderWorkerSet's own webhook: names, and sizes that fit together.

Source: `generalValidate` in `pkg/webhooks/leaderworkerset_webhook.go` of kubernetes-sigs/lws (August 2026). What its
definition refuses by itself is not repeated here.
"""

import re
from collections.abc import Iterator

from twin.apiserver.meta.errors import FieldError, Object, invalid

_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_NAME = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_MOST_REPLICAS = 1_000_000
_SUBGROUP_SIZE = "spec.leaderWorkerTemplate.subGroupPolicy.subGroupSize"
_SUBGROUP_TOPOLOGY = "leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology"


def leader_worker_set_errors(obj: Object) -> Iterator[FieldError]:
    """Yield the errors of a LeaderWorkerSet that its definition accepts."""
    name, spec = obj["metadata"]["name"], obj["spec"]
    if not _LABEL.fullmatch(name):
        yield invalid("metadata.name", name, _NAME)
    replicas = spec.get("replicas", 1)
    if replicas > _MOST_REPLICAS:
        yield invalid("spec.replicas", replicas, "replicas must be equal or less than 1000000")
    limits = {"maxUnavailable": 1, "maxSurge": 0}
    limits |= (spec.get("rolloutStrategy") or {}).get("rollingUpdateConfiguration") or {}
    if replicas and not _amount(limits["maxUnavailable"]) and not _amount(limits["maxSurge"]):
        field = "spec.rolloutStrategy.rollingUpdateConfiguration.maxUnavailable"
        yield invalid(field, limits["maxUnavailable"], "must not be 0 when `maxSurge` is 0")
    policy, size = spec["leaderWorkerTemplate"].get("subGroupPolicy"), spec["leaderWorkerTemplate"].get("size", 1)
    if isinstance(policy, dict) and isinstance(policy.get("subGroupSize"), int):
        yield from _subgroup_errors(policy, size)
    elif not policy and _SUBGROUP_TOPOLOGY in (annotations := obj["metadata"].get("annotations") or {}):
        detail = "cannot have subgroup-exclusive-topology without subGroupSize set"
        yield invalid(f"metadata.annotations.{_SUBGROUP_TOPOLOGY}", annotations[_SUBGROUP_TOPOLOGY], detail)


def _amount(limit: object) -> int:
    """Return the number in a limit, which may be a percentage."""
    text = str(limit).removesuffix("%")
    return int(text) if text.isdecimal() else 0


def _subgroup_errors(policy: Object, size: int) -> Iterator[FieldError]:
    part = policy["subGroupSize"]
    if part < 1:
        yield invalid(_SUBGROUP_SIZE, part, "subGroupSize must be equal or greater than 1")
        return
    if size % part and (size - 1) % part:
        yield invalid(_SUBGROUP_SIZE, part, "size or size - 1 must be divisible by subGroupSize")
    if size < part:
        yield invalid(_SUBGROUP_SIZE, part, "subGroupSize cannot be larger than size")
    if policy.get("type") == "LeaderExcluded" and (size - 1) % part:
        yield invalid(_SUBGROUP_SIZE, part, "size-1 must be divisible by subGroupSize when using LeaderExcluded")
