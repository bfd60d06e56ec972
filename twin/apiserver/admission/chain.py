"""The admission chain of the served API: mutating webhooks, validating webhooks, ValidatingAdmissionPolicies.

A write is first computed without storing it. What the webhooks have made of it is then written in its place, on the
condition that no other client has changed the object meanwhile. Without a registered webhook or policy a write costs
nothing more than a look at four empty lists.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from twin.apiserver.admission.matching import GROUP, Admitted, matches
from twin.apiserver.admission.policies import denial, explanation, failures
from twin.apiserver.admission.webhooks import Decision, ask
from twin.apiserver.meta.errors import ApiError, Object
from twin.apiserver.patch.json_patch import json_patch
from twin.apiserver.storage.store import Store

MUTATING, VALIDATING = f"mutatingwebhookconfigurations.{GROUP}", f"validatingwebhookconfigurations.{GROUP}"
POLICIES, BINDINGS = f"validatingadmissionpolicies.{GROUP}", f"validatingadmissionpolicybindings.{GROUP}"


@dataclass(frozen=True, slots=True)
class Admission:
    """Result of the chain.

    Attributes:
        object: the object after the mutating webhooks.
        changed: True if a webhook has changed it.
        warnings: texts for the client.
    """

    object: Object | None
    changed: bool
    warnings: Sequence[str] = ()


class AdmissionChain:
    """Asks what is registered in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._numbers = count(1)

    def is_empty(self) -> bool:
        """Return True if no webhook and no policy is registered."""
        return not any(self._store.list(kind).items for kind in (MUTATING, VALIDATING, BINDINGS))

    async def admit(self, write: Admitted, kind: str) -> Admission:
        """Admit a write of an object of a kind.

        Raises:
            ApiError: a webhook or policy refuses it, or a webhook that has to be asked does not answer.
        """
        current, warnings = write, list[str]()
        for hook in self._hooks(MUTATING, write):
            decision = await self._ask(hook, current, kind)
            warnings += decision.warnings
            if decision.patch and current.object is not None:
                current = replace(current, object=json_patch(current.object, list(decision.patch)))
        warnings += self._check_policies(current)
        for hook in self._hooks(VALIDATING, current):
            warnings += (await self._ask(hook, current, kind)).warnings
        return Admission(current.object, current.object is not write.object, warnings)

    async def _ask(self, hook: Mapping[str, Any], write: Admitted, kind: str) -> Decision:
        uid = f"00000000-0000-4000-9000-{next(self._numbers):012x}"
        return await ask(hook, write, kind, uid, self._service(hook))

    def _service(self, hook: Mapping[str, Any]) -> Object | None:
        """Return the Service that a webhook names; None if it names none or it does not exist."""
        reference = (hook.get("clientConfig") or {}).get("service")
        if not reference:
            return None
        try:
            return self._store.get("services", str(reference.get("namespace", "")), str(reference.get("name", "")))
        except ApiError:
            return None

    def _hooks(self, resource: str, write: Admitted) -> list[Mapping[str, Any]]:
        """Return the webhooks to ask, ordered by the names of their configurations."""
        labels = self._namespace_labels(write)
        hooks = [hook for item in self._store.list(resource).items for hook in item.get("webhooks") or ()]
        return [hook for hook in hooks if matches(hook, "rules", write, labels)]

    def _check_policies(self, write: Admitted) -> list[str]:
        """Return the warnings of policies. Raises ApiError if one denies the write."""
        labels, warnings = self._namespace_labels(write), list[str]()
        policies = {item["metadata"]["name"]: item for item in self._store.list(POLICIES).items}
        for binding in self._store.list(BINDINGS).items:
            policy, name = policies.get(binding["spec"]["policyName"]), binding["metadata"]["name"]
            if policy is None or not matches(policy["spec"].get("matchConstraints") or {}, _RULES, write, labels):
                continue
            if not _is_bound(binding, write, labels):
                continue
            actions = binding["spec"].get("validationActions") or ()
            for failure in failures(policy, write):
                if "Deny" in actions:
                    raise denial(policy["metadata"]["name"], name, failure, write)
                if "Warn" in actions:
                    who = explanation(policy["metadata"]["name"], name)
                    warnings.append(f"Validation failed for {who}: {failure.message}")
        return warnings

    def _namespace_labels(self, write: Admitted) -> Mapping[str, str]:
        if not write.namespace:
            return {}
        try:
            labels: Mapping[str, str] = (
                self._store.get("namespaces", "", write.namespace)["metadata"].get("labels") or {}
            )
        except ApiError:
            return {}
        return labels


_RULES = "resourceRules"


def _is_bound(binding: Object, write: Admitted, labels: Mapping[str, str]) -> bool:
    resources = binding["spec"].get("matchResources")
    if not resources:
        return True
    anything = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*", "*/*"]}
    return matches({_RULES: [anything], **resources}, _RULES, write, labels)
