"""Rules of EndpointSlices, Events and Leases, which controllers write besides their own objects.

Sources: `pkg/apis/{discovery,core,coordination}/validation` of k8s.io/kubernetes; messages as of a 1.36 server.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

from twin.apiserver.meta.errors import FieldError, Object, invalid, required, too_many, unsupported

MAX_ENDPOINTS = 1000  # in one slice; discovery validation, maxEndpoints
_ADDRESS_TYPES = ("IPv4", "IPv6", "FQDN")
_MAX_LENGTHS = {"note": 1024, "reason": 128, "action": 128, "reportingInstance": 128}
_REPORTED_NAMES = {"note": "message"}
"""Fields that have another name in error messages."""
_CONTROLLER = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")


def admit_endpoint_slice(new: Object, old: Object | None, errors: list[FieldError]) -> Object:
    """Validate an EndpointSlice and set the defaults of its ports."""
    family = new.get("addressType")
    if not family:
        errors.append(required("addressType"))
    elif family not in _ADDRESS_TYPES:
        errors.append(unsupported("addressType", family, sorted(_ADDRESS_TYPES)))
    if old is not None and family != old.get("addressType"):
        errors.append(invalid("addressType", family, "field is immutable"))
    endpoints = new.get("endpoints") or []
    if len(endpoints) > MAX_ENDPOINTS:
        errors.append(too_many("endpoints", len(endpoints), MAX_ENDPOINTS))
    for index, endpoint in enumerate(endpoints):
        addresses = endpoint.get("addresses")
        if not addresses:
            errors.append(required(f"endpoints[{index}].addresses", "must contain at least 1 address"))
        elif family in ("IPv4", "IPv6"):
            for position, address in enumerate(addresses):
                _check_address(f"endpoints[{index}].addresses", position, address, family, errors)
    ports = new.get("ports") or []
    if all("name" in port and "protocol" in port for port in ports):
        return new
    return {**new, "ports": [{"name": "", "protocol": "TCP", **port} for port in ports]}


def _check_address(field: str, position: int, text: str, family: str, errors: list[FieldError]) -> None:
    item_field = f"{field}[{position}]"
    try:
        address = ip_address(text)
    except ValueError:
        errors.append(invalid(item_field, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"))
        return
    if not isinstance(address, IPv4Address if family == "IPv4" else IPv6Address):
        errors.append(invalid(field, text, f"must be an {family} address"))
    elif address.is_unspecified:
        errors.append(invalid(item_field, text, f"may not be unspecified ({text})"))
    elif address.is_loopback:
        errors.append(invalid(item_field, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)"))
    elif address.is_link_local:
        errors.append(invalid(item_field, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"))


def admit_event(new: Object, old: Object | None, errors: list[FieldError]) -> Object:  # noqa: ARG001
    """Validate an `events.k8s.io` Event.

    Events of the older core API are hardly validated. The API version of the request is not known here, so an Event
    without `eventTime` is treated as a core Event.
    """
    if not new.get("eventTime"):
        return new
    for field in ("reportingController", "reportingInstance", "action", "reason"):
        if not new.get(field):
            errors.append(required(field))
    controller = new.get("reportingController")
    if controller and not _CONTROLLER.fullmatch(str(controller).rpartition("/")[2]):
        errors.append(invalid("reportingController", controller, _NAME_PART))
    for field, limit in _MAX_LENGTHS.items():
        if len(str(new.get(field) or "")) > limit:
            errors.append(invalid(_REPORTED_NAMES.get(field, field), "", f"can have at most {limit} characters"))
    if new.get("type") not in ("Normal", "Warning"):
        errors.append(invalid("type", "", f"has invalid value: {new.get('type') or ''}"))
    return new


_NAME_PART = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


def admit_lease(new: Object, old: Object | None, errors: list[FieldError]) -> Object:  # noqa: ARG001
    """Validate a Lease."""
    spec = new.get("spec") or {}
    seconds, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if seconds is not None and seconds <= 0:
        errors.append(invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
    if transitions is not None and transitions < 0:
        errors.append(invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0"))
    return new
