"""Metrics that a story sets, as HorizontalPodAutoscalers read them: from an aggregated API, in the twin directly."""

import asyncio
import json
import ssl
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from tests.conformance_kubernetes.api import Object
from twin.world.autoscaling.metrics import MetricsError

_CUSTOM, _EXTERNAL = "custom.metrics.k8s.io/v1beta2", "external.metrics.k8s.io/v1beta1"
_UNREADABLE = "unable to fetch metrics from {} metrics API: {}"
_TIMESTAMP = "2026-01-01T00:00:00Z"
SERVICE = {
    "kind": "Service",
    "metadata": {"name": "played-metrics"},
    "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": 443}]},
}


@dataclass(eq=False)
class PlayedMetrics:
    """Values by namespace and name of the metric, in thousandths.

    Attributes:
        pods: values by name of the pod.
        objects: values of the only object that has the metric.
        series: values of an external metric.
        reads: number of reads in each namespace.
        served: False if the APIs are not registered.
    """

    pods: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    objects: dict[tuple[str, str], int] = field(default_factory=dict)
    series: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    reads: Counter[str] = field(default_factory=Counter)
    served: bool = True

    def of_pods(self, metric: Object, namespace: str, pods: Sequence[Object]) -> dict[str, int]:
        self.reads[namespace] += 1
        self._check_served()
        values = self.pods.get((namespace, metric["name"]))
        if values is None:
            raise MetricsError(_UNREADABLE.format("custom", _not_found(metric["name"], "pods")))
        if not values:
            raise MetricsError("no metrics returned from custom metrics API")
        return dict(values)

    def of_object(self, metric: Object, namespace: str, reference: Object) -> int:
        self.reads[namespace] += 1
        self._check_served()
        value = self.objects.get((namespace, metric["name"]))
        if value is None:
            described = f"{reference['kind'].lower()}s {reference['name']}"
            raise MetricsError(_UNREADABLE.format("custom", _not_found(metric["name"], described)))
        return value

    def of_resource(self, resource: str, container: str, pods: Sequence[Object]) -> dict[str, int]:
        message = "the server could not find the requested resource (get pods.metrics.k8s.io)"
        raise MetricsError(_UNREADABLE.format("resource", message))

    def external(self, metric: Object, namespace: str) -> Sequence[int]:
        self.reads[namespace] += 1
        if not self.served:
            message = f"the server could not find the requested resource (get {metric['name']}.external.metrics.k8s.io)"
            raise MetricsError(_UNREADABLE.format("external", message))
        values = self.series.get((namespace, metric["name"]), [])
        if not values:
            raise MetricsError("no metrics returned from external metrics API")
        return values

    def _check_served(self) -> None:
        if not self.served:
            message = "no custom metrics API (custom.metrics.k8s.io) registered"
            raise MetricsError(_UNREADABLE.format("custom", message))

    def answer(self, path: str) -> tuple[int, Object]:
        """Return status and body of a request of the metrics APIs."""
        parts = unquote(path.partition("?")[0]).strip("/").split("/")
        version, rest = "/".join(parts[1:3]), parts[3:]
        if not rest:
            return 200, {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": []}
        namespace, metric = rest[1], {"name": rest[-1]}
        try:
            if version == _EXTERNAL:
                items = [{"metricName": metric["name"], **_value(item)} for item in self._series(metric, namespace)]
                return 200, _list("ExternalMetricValueList", version, items)
            if rest[3] == "*":
                values = self.of_pods(metric, namespace, ())
                return 200, _list(
                    "MetricValueList",
                    version,
                    [_of_object("Pod", name, metric, value) for name, value in values.items()],
                )
            reference = {"kind": rest[2].partition(".")[0].removesuffix("s").title(), "name": rest[3]}
            value = self.of_object(metric, namespace, reference)
            return 200, _list("MetricValueList", version, [_of_object(reference["kind"], rest[3], metric, value)])
        except MetricsError as error:
            if "no metrics returned" in str(error):
                return 200, _list("MetricValueList", version, [])
            message = str(error).partition("API: ")[2]
            status = {"status": "Failure", "reason": "NotFound", "code": 404, "message": message}
            return 404, {"kind": "Status", "apiVersion": "v1", "metadata": {}, **status}

    def _series(self, metric: Object, namespace: str) -> Sequence[int]:
        try:
            return self.external(metric, namespace)
        except MetricsError:
            return ()


def _not_found(metric: str, described: str) -> str:
    """Return the message of a Prometheus adapter (`NewMetricNotFoundError` of custom-metrics-apiserver)."""
    return f"the server could not find the metric {metric} for {described}"


def _list(kind: str, version: str, items: Sequence[Object]) -> Object:
    return {"kind": kind, "apiVersion": version, "metadata": {}, "items": list(items)}


def _value(milli: int) -> Object:
    return {"timestamp": _TIMESTAMP, "value": f"{milli}m", "metricLabels": {}}


def _of_object(kind: str, name: str, metric: Mapping[str, str], milli: int) -> Object:
    return {
        "describedObject": {"kind": kind, "name": name, "apiVersion": "v1"},
        "metric": metric,
        "timestamp": _TIMESTAMP,
        "value": f"{milli}m",
    }


def api_services(port: int) -> list[Object]:
    """Return the registrations of the metrics APIs, served on a port of this machine."""
    services = []
    for version in (_CUSTOM, _EXTERNAL):
        group, name = version.split("/")
        spec = {
            "group": group,
            "version": name,
            "insecureSkipTLSVerify": True,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "service": {"name": SERVICE["metadata"]["name"], "namespace": "default", "port": port},
        }
        services.append({"kind": "APIService", "metadata": {"name": f"{name}.{group}"}, "spec": spec})
    return services


@asynccontextmanager
async def serve(metrics: PlayedMetrics, folder: Path) -> AsyncIterator[int]:
    """Serve the metrics APIs on loopback until the end of the block; yields the port."""
    certificate, private_key = folder / "metrics.crt", folder / "metrics.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    await asyncio.to_thread(
        subprocess.run, [*command, "-keyout", private_key, "-out", certificate], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private_key)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            code, body = metrics.answer(head.split(" ")[1])
            content = json.dumps(body).encode()
            lines = [f"HTTP/1.1 {code} OK", "content-type: application/json", f"content-length: {len(content)}"]
            writer.write("\r\n".join([*lines, "connection: close", "", ""]).encode() + content)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]
