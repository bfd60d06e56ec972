"""Where traces go: the option before the variables of OpenTelemetry, and nothing without both."""

import pytest

from controller.tracing.endpoint import EndpointError, traces_url

BASE = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
A, B = "http://a:4318", "http://b:4318"


@pytest.mark.parametrize(
    ("option", "environment", "expected"),
    [
        ("", {}, ""),
        (A, {}, f"{A}/v1/traces"),
        (f"{A}/", {}, f"{A}/v1/traces"),
        (f"{A}/v1/traces", {}, f"{A}/v1/traces"),
        (A, {BASE: B, "OTEL_SDK_DISABLED": "true"}, f"{A}/v1/traces"),
        ("", {BASE: B}, f"{B}/v1/traces"),
        ("", {BASE: f"{B}/otlp/"}, f"{B}/otlp/v1/traces"),
        ("", {BASE: B, TRACES: f"{A}/mine"}, f"{A}/mine"),
        ("", {BASE: ""}, ""),
        ("", {BASE: B, "OTEL_SDK_DISABLED": "TRUE"}, ""),
        ("", {BASE: B, "OTEL_TRACES_EXPORTER": "none"}, ""),
        ("", {BASE: B, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, f"{B}/v1/traces"),
        (
            "",
            {
                BASE: B,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            },
            f"{B}/v1/traces",
        ),
    ],
)
def test_the_url_is_that_of_the_option_or_of_the_standard_variables(
    option: str, environment: dict[str, str], expected: str
) -> None:
    assert traces_url(option, environment) == expected


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({BASE: "collector:4317"}, f"{BASE}=collector:4317: must start with http:// or https://"),
        (
            {BASE: B, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL=grpc: only http/protobuf is supported, whose usual port is 4318",
        ),
    ],
)
def test_what_cannot_be_sent_to_is_refused(environment: dict[str, str], message: str) -> None:
    with pytest.raises(EndpointError) as caught:
        traces_url("", environment)
    assert str(caught.value) == message
