"""ValidatingAdmissionPolicies: CEL expressions over a write (`k8s.io/apiserver/pkg/admission/plugin/policy`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from twin.apiserver.admission.matching import Admitted
from twin.apiserver.meta.errors import ApiError
from twin.apiserver.schema.cel import Evaluation, compile_policy

_CODES = {"Unauthorized": 401, "Forbidden": 403, "Invalid": 422, "RequestEntityTooLarge": 413}


@dataclass(frozen=True, slots=True)
class Failure:
    """A validation that a write does not pass."""

    message: str
    reason: str


def failures(policy: Mapping[str, Any], write: Admitted) -> list[Failure]:
    """Return the validations of a policy that a write does not pass."""
    spec, values = policy["spec"], _values(write)
    found = []
    for validation in spec.get("validations") or ():
        result = compile_policy(validation["expression"]).evaluate(values)
        if result.is_true:
            continue
        if result.error and spec.get("failurePolicy") == "Ignore":
            continue
        reason = validation.get("reason") or "Invalid"
        found.append(Failure(_message(validation, result, values), "Invalid" if result.error else reason))
    return found


def denial(policy: str, binding: str, failure: Failure, write: Admitted) -> ApiError:
    """Return the error with which a write is refused."""
    resource = f"{write.resource}.{write.group}" if write.group else write.resource
    text = f"{explanation(policy, binding)} denied request: {failure.message}"
    details = {"name": write.name, "kind": write.resource, "causes": [{"message": text}]}
    details |= {"group": write.group} if write.group else {}
    message = f'{resource} "{write.name}" is forbidden: {text}'
    return ApiError(_CODES.get(failure.reason, 422), failure.reason, message, details=details)


def explanation(policy: str, binding: str) -> str:
    """Return who refuses a write."""
    return f"ValidatingAdmissionPolicy '{policy}' with binding '{binding}'"


def _message(validation: Mapping[str, Any], result: Evaluation, values: Mapping[str, Any]) -> str:
    expression = validation["expression"].strip()
    if result.error:
        return f"expression '{expression}' resulted in error: {result.error}"
    if validation.get("messageExpression"):
        text = compile_policy(validation["messageExpression"]).evaluate(values).value
        if isinstance(text, str) and text.strip() and "\n" not in text:
            return text
    return validation.get("message") or f"failed expression: {expression}"


def _values(write: Admitted) -> dict[str, Any]:
    request = {
        "operation": write.operation,
        "name": write.name,
        "namespace": write.namespace,
        "subResource": write.subresource,
        "dryRun": write.dry_run,
        "resource": {"group": write.group, "version": write.version, "resource": write.resource},
        "userInfo": {"username": write.user, "groups": list(write.groups)},
    }
    return {"object": write.object, "oldObject": write.old, "request": request, "params": None, "variables": {}}
