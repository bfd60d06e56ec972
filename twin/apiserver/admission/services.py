"""Webhooks behind a Service: no pod of the twin serves one, so every call fails, with the error of a real server.

Source: `k8s.io/apiserver/pkg/util/proxy/proxy.go` (`ResolveCluster`), held to a recording.
"""

from collections.abc import Mapping
from typing import Any

from twin.apiserver.meta.errors import Object

_HTTPS = 443


def service_url(reference: Mapping[str, Any]) -> str:
    """Return the URL of a `clientConfig.service`."""
    host = f"{reference.get('name')}.{reference.get('namespace')}.svc"
    return f"https://{host}:{reference.get('port') or _HTTPS}{reference.get('path') or '/'}"


def service_error(reference: Mapping[str, Any], service: Object | None) -> str:
    """Return why a call of a Service fails; `service` is None if it does not exist.

    A Service without endpoints refuses connections, as kube-proxy rejects them.
    """
    name, port = reference.get("name"), reference.get("port") or _HTTPS
    if service is None:
        return f'service "{name}" not found'
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return f"dial tcp: lookup {spec.get('externalName')}: no such host"
    if spec.get("clusterIP") == "None":
        return 'cannot route to service with ClusterIP "None"'
    if port not in [each.get("port") for each in spec.get("ports") or ()]:
        return f'no service port {port} found for service "{name}"'
    return f"dial tcp {spec.get('clusterIP')}:{port}: connect: connection refused"
