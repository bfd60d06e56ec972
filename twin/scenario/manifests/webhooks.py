"""Webhook configurations in manifests: errors of an API server, and notes on webhooks whose calls would fail.

They are not registered: their servers are not simulated, so a write that `failurePolicy: Fail` covers would be refused.
"""

import base64
from collections.abc import Iterator, Sequence

from twin.scenario.errors import Note, Problem
from twin.scenario.manifests.admission import WEBHOOKS, Admission
from twin.scenario.manifests.reader import Entry

_API_VERSION = "admissionregistration.k8s.io/v1"
_UNTRUSTED = "x509: certificate signed by unknown authority"
_NO_PEM = "unable to load root certificates: unable to parse bytes as PEM block"
_PEM = b"-----BEGIN CERTIFICATE-----"
_INJECTED = ("cert-manager.io/inject-ca-from", "cert-manager.io/inject-ca-from-secret")
"""Annotations for which cert-manager fills in the bundle."""


def check_webhooks(entries: Sequence[Entry], admission: Admission) -> Iterator[Problem]:
    """Yield the errors with which an API server refuses webhook configurations."""
    for entry in _configurations(entries):
        for path, message in admission.refusals(entry.object):
            yield entry.problem(path, message)


def notes_on_webhooks(entries: Sequence[Entry]) -> Iterator[Note]:
    """Yield notes on webhooks without a CA bundle, and on those whose Service is missing."""
    services = {(entry.namespace, entry.name) for entry in entries if entry.kind == "Service"}
    for entry in _configurations(entries):
        annotations = entry.object["metadata"].get("annotations") or {}
        is_injected = any(name in annotations for name in _INJECTED)
        for index, hook in enumerate(entry.object.get("webhooks") or ()):
            config, at = hook["clientConfig"], ("webhooks", index, "clientConfig")
            title = f"{entry.title}: webhook {hook['name']}"
            consequence = "are skipped" if hook.get("failurePolicy") == "Ignore" else "fail the write"
            bundle = config.get("caBundle")
            if bundle and _PEM not in base64.b64decode(bundle + "=="):
                text = f"caBundle has no certificate: calls {consequence} ({_NO_PEM})"
                yield entry.note(f"{title}: {text}", (*at, "caBundle"))
            elif not bundle and not is_injected:
                text = f"no caBundle: calls of a server without a public certificate {consequence} ({_UNTRUSTED})"
                yield entry.note(f"{title}: {text}", at)
            service = config.get("service") or {}
            namespace, name = service.get("namespace"), service.get("name")
            if service and (namespace, name) not in services:
                text = f"Service {namespace}/{name} is not in the manifests: without it, calls {consequence}"
                yield entry.note(f'{title}: {text} (service "{name}" not found)', (*at, "service"))


def _configurations(entries: Sequence[Entry]) -> Iterator[Entry]:
    for entry in entries:
        if entry.kind in WEBHOOKS and entry.object["apiVersion"] == _API_VERSION:
            yield entry
