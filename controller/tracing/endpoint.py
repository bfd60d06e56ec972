"""Endpoint of traces: the option, or the standard variables of OpenTelemetry.

Source of the variables: OpenTelemetry specification, "Environment Variable Specification" and "OpenTelemetry Protocol
Exporter".
"""

from collections.abc import Mapping

_PATH = "/v1/traces"
_PROTOCOL = "http/protobuf"


class EndpointError(ValueError):
    """A standard variable has a value that is not supported; the message says what is."""


def traces_url(option: str, environment: Mapping[str, str]) -> str:
    """Return the URL that traces are sent to; empty if tracing is off. `option` is the base URL of a receiver.

    Raises:
        EndpointError: a variable names a protocol other than HTTP.
    """
    if option:
        return _traces_path(option)
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_TRACES_EXPORTER") == "none":
        return ""
    url, source = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ""), "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
    if not url:
        url, source = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", ""), "OTEL_EXPORTER_OTLP_ENDPOINT"
        url = _traces_path(url) if url else ""
    if not url:
        return ""
    if not url.startswith(("http://", "https://")):
        raise EndpointError(f"{source}={environment[source]}: must start with http:// or https://")
    _check_protocol(environment)
    return url


def _traces_path(base: str) -> str:
    return base if base.endswith(_PATH) else base.rstrip("/") + _PATH


def _check_protocol(environment: Mapping[str, str]) -> None:
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if protocol := environment.get(name):
            if protocol != _PROTOCOL:
                raise EndpointError(f"{name}={protocol}: only {_PROTOCOL} is supported, whose usual port is 4318")
            return
