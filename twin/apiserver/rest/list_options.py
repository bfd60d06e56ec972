"""Validation of request options: `metav1.ListOptions`, `CreateOptions`, `DeleteOptions` and so on.

Sources: `k8s.io/apimachinery/pkg/apis/meta/{v1,internalversion}/validation` and `k8s.io/apiserver/pkg/storage`.
"""

from collections.abc import Mapping
from typing import Any

from twin.apiserver.meta.errors import (
    FieldError,
    Object,
    bad_request,
    forbidden_field,
    invalid,
    required,
    too_long,
    unprocessable,
    unsupported,
    version_too_large,
)
from twin.apiserver.rest.http import Request
from twin.apiserver.storage.deletion import Propagation

_UINT64_DIGITS = 20
_GROUP = "meta.k8s.io"
_LONGEST_MANAGER = 128  # bytes; metav1 validation, FieldManagerMaxLength
_LEVELS = ("", "Ignore", "Strict", "Warn")
_POLICIES = ("Foreground", "Background", "Orphan", "nil")
_WRITERS = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions", "DELETE": "DeleteOptions"}
_VERSION = "resourceVersionMatch"


def check_list(request: Request) -> None:
    """Validate the options of a list.

    Raises:
        ApiError: 422 if they contradict each other, 400 if the resourceVersion is not valid.
    """
    match, version, token = (request.query.get(name, "") for name in (_VERSION, "resourceVersion", "continue"))
    errors: list[FieldError] = []
    if match and not version:
        errors.append(forbidden_field(_VERSION, f"{_VERSION} is forbidden unless resourceVersion is provided"))
    if match and token:
        errors.append(forbidden_field(_VERSION, f"{_VERSION} is forbidden when continue is provided"))
    if match not in ("", "NotOlderThan", "Exact"):
        errors.append(unsupported(_VERSION, match, ["Exact", "NotOlderThan", ""]))
    if match == "Exact" and version == "0":
        errors.append(forbidden_field(_VERSION, f'{_VERSION} "exact" is forbidden for resourceVersion "0"'))
    if "sendInitialEvents" in request.query:
        errors.append(forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if errors:
        raise unprocessable("ListOptions", _GROUP, "", errors)
    if token and version not in ("", "0"):
        raise bad_request("specifying resource version is not allowed when using continue")
    check_version(version)


def check_watch(request: Request) -> None:
    """Validate the options of a watch.

    Raises:
        ApiError: 422 if they contradict each other, 400 if the resourceVersion is not valid.
    """
    check_version(request.query.get("resourceVersion", ""))
    match, initial = request.query.get(_VERSION, ""), "sendInitialEvents" in request.query
    errors: list[FieldError] = []
    if initial and match != "NotOlderThan":
        detail = f"sendInitialEvents requires setting {_VERSION} to NotOlderThan"
        errors.append(forbidden_field(_VERSION, detail))
    if match and not initial:
        detail = f"{_VERSION} is forbidden for watch unless sendInitialEvents is provided"
        errors.append(forbidden_field(_VERSION, detail))
    if match not in ("", "NotOlderThan"):
        errors.append(unsupported(_VERSION, match, ["NotOlderThan"]))
    if errors:
        raise unprocessable("ListOptions", _GROUP, "", errors)


def check_version(text: str) -> None:
    """Validate a resourceVersion.

    Raises:
        ApiError: 400 if it is not a number.
    """
    if text and not (text.isascii() and text.isdecimal()):
        detail = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise bad_request(f"invalid resource version: {detail}")
    if len(text) > _UINT64_DIGITS:
        detail = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": value out of range'
        raise bad_request(f"invalid resource version: {detail}")


def check_not_ahead(requested: str, current: str) -> None:
    """Check that a requested version, which is valid, has been reached.

    Raises:
        ApiError: 504 if it lies in the future; clients wait a second or ask for the current version.
    """
    if requested and int(requested) > int(current):
        raise version_too_large(requested, current)


def check_write(request: Request) -> None:
    """Validate the options of a write.

    Raises:
        ApiError: 422 with all errors.
    """
    errors = _dry_run_errors([request.query["dryRun"]] if request.query.get("dryRun") else [])
    manager, level = request.query.get("fieldManager", ""), request.query.get("fieldValidation", "")
    applies = "apply-patch" in request.content_type
    if applies and not manager:
        errors.append(required("fieldManager", "is required for apply patch"))
    if not applies and request.query.get("force") and request.method == "PATCH":
        errors.append(forbidden_field("force", "may not be specified for non-apply patch"))
    if len(manager.encode()) > _LONGEST_MANAGER:
        errors.append(too_long("fieldManager", _LONGEST_MANAGER))
    elif not manager.isprintable():
        errors.append(invalid("fieldManager", manager, "should only contain printable characters"))
    if level not in _LEVELS:
        errors.append(unsupported("fieldValidation", level, _LEVELS))
    if errors:
        raise unprocessable(_WRITERS[request.method], _GROUP, "", errors)


def is_dry_run(request: Request, options: Mapping[str, Any] | None = None) -> bool:
    """Return whether a request is a dry run; `options` is the body of a delete."""
    values = list((options or {}).get("dryRun") or ())
    if request.query.get("dryRun"):
        values.append(request.query["dryRun"])
    errors = _dry_run_errors(values)
    if errors:
        raise unprocessable(_WRITERS[request.method], _GROUP, "", errors)
    return bool(values)


def propagation_policy(request: Request, options: Object) -> Propagation:
    """Return the propagation policy of a delete.

    Raises:
        ApiError: 422 if the policy is unknown or given twice.
    """
    orphan = options.get("orphanDependents")
    policy = options.get("propagationPolicy") or request.query.get("propagationPolicy")
    errors: list[FieldError] = []
    if policy and orphan is not None:
        detail = "orphanDependents and deletionPropagation cannot be both set"
        errors.append(invalid("propagationPolicy", policy, detail))
    match policy:
        case "Background" | "Foreground" | "Orphan" as supported if not errors:
            return supported
        case None if not errors:
            return "Default" if orphan is None else "Orphan" if orphan else "Background"
        case _ if not errors:
            errors.append(unsupported("propagationPolicy", policy, _POLICIES))
    raise unprocessable("DeleteOptions", _GROUP, "", errors)


def _dry_run_errors(values: list[str]) -> list[FieldError]:
    return [unsupported("dryRun", values, ["All"])] if any(value != "All" for value in values) else []
