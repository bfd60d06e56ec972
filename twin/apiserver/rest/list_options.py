"""The options of a request, `metav1.ListOptions` and its kin: what may be asked, and what contradicts itself.

Most clients send what a library made for them; whoever writes one learns here what he got wrong. Sources:
`k8s.io/apimachinery/pkg/apis/meta/{v1,internalversion}/validation` and `k8s.io/apiserver/pkg/storage`.
"""

from collections.abc import Mapping
from typing import Any

from twin.apiserver.meta.errors import (
    ApiError,
    FieldError,
    Object,
    bad_request,
    forbidden_field,
    invalid,
    required,
    too_long,
    unprocessable,
    unsupported,
)
from twin.apiserver.rest.http import Request
from twin.apiserver.storage.deletion import Propagation

_GROUP = "meta.k8s.io"
_LONGEST_MANAGER = 128  # bytes; metav1 validation, FieldManagerMaxLength
_LEVELS = ("", "Ignore", "Strict", "Warn")
_POLICIES = ("Foreground", "Background", "Orphan", "nil")
_WRITERS = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions", "DELETE": "DeleteOptions"}
_VERSION = "resourceVersionMatch"


def check_list(request: Request) -> None:
    """Refuse a list whose options contradict each other.

    Raises:
        ApiError: 422, they do; 400, there is no such resourceVersion.
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
    """Refuse a watch whose options contradict each other.

    Raises:
        ApiError: 422, they do.
    """
    match, initial = request.query.get(_VERSION, ""), "sendInitialEvents" in request.query
    errors: list[FieldError] = []
    if initial and match != "NotOlderThan":
        fault = f"sendInitialEvents requires setting {_VERSION} to NotOlderThan"
        errors.append(forbidden_field(_VERSION, fault))
    if match and not initial:
        fault = f"{_VERSION} is forbidden for watch unless sendInitialEvents is provided"
        errors.append(forbidden_field(_VERSION, fault))
    if match not in ("", "NotOlderThan"):
        errors.append(unsupported(_VERSION, match, ["NotOlderThan"]))
    if errors:
        raise unprocessable("ListOptions", _GROUP, "", errors)


def check_version(text: str) -> None:
    """Refuse with 400 what is no resourceVersion."""
    if text and not (text.isascii() and text.isdecimal()):
        fault = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise bad_request(f"invalid resource version: {fault}")


def check_not_ahead(wanted: str, current: str) -> None:
    """Refuse with 504 a state that has not come yet; clients wait a second, or ask for the present one."""
    if wanted.isdecimal() and int(wanted) > int(current):
        cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
        message = f"Too large resource version: {wanted}, current: {current}"
        raise ApiError(504, "Timeout", message, details={"causes": [cause]}, retry_after=1.0)


def check_write(request: Request) -> None:
    """Refuse a write whose options are none.

    Raises:
        ApiError: 422, with all that is wrong.
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


def dry_run(request: Request, options: Mapping[str, Any] | None = None) -> bool:
    """Whether the request only asks what would happen; `options` are those in the body of a deletion."""
    asked = list((options or {}).get("dryRun") or ())
    if request.query.get("dryRun"):
        asked.append(request.query["dryRun"])
    errors = _dry_run_errors(asked)
    if errors:
        raise unprocessable(_WRITERS[request.method], _GROUP, "", errors)
    return bool(asked)


def propagation(request: Request, options: Object) -> Propagation:
    """What a deletion does to those that the object owns.

    Raises:
        ApiError: 422, there is no such policy, or two of them.
    """
    orphan = options.get("orphanDependents")
    wanted = options.get("propagationPolicy") or request.query.get("propagationPolicy")
    errors: list[FieldError] = []
    if wanted and orphan is not None:
        fault = "orphanDependents and deletionPropagation cannot be both set"
        errors.append(invalid("propagationPolicy", wanted, fault))
    match wanted:
        case "Background" | "Foreground" | "Orphan" as known if not errors:
            return known
        case None if not errors:
            return "Orphan" if orphan else "Background"
        case _ if not errors:
            errors.append(unsupported("propagationPolicy", wanted, _POLICIES))
    raise unprocessable("DeleteOptions", _GROUP, "", errors)


def _dry_run_errors(asked: list[str]) -> list[FieldError]:
    return [unsupported("dryRun", asked, ["All"])] if any(each != "All" for each in asked) else []
