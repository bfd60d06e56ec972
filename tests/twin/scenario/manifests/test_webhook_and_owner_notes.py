"""Webhook configurations without a usable server, and owners that no object can have, are named with their lines."""

import base64
from typing import Any

import pytest

SCENARIO = "name: x\nduration: 1m\nmanifests: [base.yaml, bad.yaml]\n"
WEBHOOK = """\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: policy%s}
webhooks:
  - name: policy.example.com
    clientConfig: {%s}
    rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
    sideEffects: None
    admissionReviewVersions: [v1]
    %s
"""
CONFIG_MAP = """\
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: %s
  ownerReferences: [{apiVersion: v1, kind: %s, name: %s, uid: "7"%s}]
"""
TITLE = "ValidatingWebhookConfiguration policy: webhook policy.example.com"
PEM = base64.b64encode(b"-----BEGIN CERTIFICATE-----\n").decode()
UNTRUSTED = "x509: certificate signed by unknown authority"
PUBLIC = f"{TITLE}: no caBundle: calls of a server without a public certificate"
MISSING = f"{TITLE}: Service default/nope is not in the manifests: without it, calls"


def notes(folder: Any, text: str) -> list[str]:
    """Return the notes on a manifest, without the one that says what is ignored."""
    folder.write("bad.yaml", text)
    return [note for note in folder.load(SCENARIO).notes if ": ignored: " not in note]


@pytest.mark.parametrize(
    ("annotations", "client", "policy", "expected"),
    [
        ("", 'url: "https://x"', "", [f"{PUBLIC} fail the write ({UNTRUSTED})"]),
        ("", 'url: "https://x"', "failurePolicy: Ignore", [f"{PUBLIC} are skipped ({UNTRUSTED})"]),
        ("", f'url: "https://x", caBundle: {PEM}', "", []),
        (', annotations: {"cert-manager.io/inject-ca-from": a/b}', 'url: "https://x"', "", []),
        (
            "",
            'url: "https://x", caBundle: bm9wZQ==',
            "",
            [
                f"{TITLE}: caBundle has no certificate: calls fail the write "
                "(unable to load root certificates: unable to parse bytes as PEM block)"
            ],
        ),
        (
            "",
            f"caBundle: {PEM}, service: {{namespace: default, name: nope}}",
            "",
            [f'{MISSING} fail the write (service "nope" not found)'],
        ),
    ],
)
def test_a_webhook_whose_calls_fail_is_noted(
    folder: Any, annotations: str, client: str, policy: str, expected: list[str]
) -> None:
    assert notes(folder, WEBHOOK % (annotations, client, policy)) == expected


def test_a_note_on_a_webhook_has_its_line_and_a_run_ignores_the_configuration(folder: Any) -> None:
    folder.write("bad.yaml", WEBHOOK % ("", 'url: "https://x"', ""))
    scenario = folder.load(SCENARIO)
    untrusted, ignored = scenario.notes
    assert ignored.startswith("ValidatingWebhookConfiguration policy: ignored: ")
    assert scenario.places[untrusted].endswith("bad.yaml:6")
    assert [item["kind"] for item in scenario.objects] == ["Deployment"]


@pytest.mark.parametrize(
    ("client", "error"),
    [
        ("", "clientConfig: required value: exactly one of url or service is required"),
        ('url: "http://x"', "clientConfig.url: invalid value: \"http\": 'https' is the only allowed URL scheme"),
        ("service: {namespace: default}", "clientConfig.service.name: required value"),
        ("service: 5", "clientConfig.service: invalid value"),
    ],
)
def test_a_configuration_that_an_api_server_refuses_is_refused_at_its_place(
    folder: Any, client: str, error: str
) -> None:
    folder.write("bad.yaml", WEBHOOK % ("", client, ""))
    (line,) = folder.errors(SCENARIO)
    assert line.startswith("bad.yaml:6:")
    assert f"webhooks.0.{error}" in line


def test_cyclic_owners_are_named_with_the_cycle_and_the_line(folder: Any) -> None:
    folder.write("bad.yaml", CONFIG_MAP % ("a", "ConfigMap", "b", "") + CONFIG_MAP % ("b", "ConfigMap", "a", ""))
    scenario = folder.load(SCENARIO)
    deleted = "the garbage collector deletes it, as the API server gives its owner another uid: ConfigMap"
    assert list(scenario.notes) == [
        f"ConfigMap default/a: cyclic owners (ConfigMap a -> ConfigMap b -> ConfigMap a): {deleted} b (uid 7)",
        f"ConfigMap default/b: cyclic owners (ConfigMap b -> ConfigMap a -> ConfigMap b): {deleted} a (uid 7)",
    ]
    assert [scenario.places[note].rpartition(":")[2] for note in scenario.notes] == ["6", "12"]


def test_cyclic_controllers_leave_a_run_without_the_objects(folder: Any) -> None:
    controlled = ", controller: true"
    text = CONFIG_MAP % ("a", "ConfigMap", "b", controlled) + CONFIG_MAP % ("b", "ConfigMap", "a", controlled)
    assert [note.partition("): ")[2] for note in notes(folder, text)] == [
        "each is left to its controller, so the run has none of them"
    ] * 2


@pytest.mark.parametrize(
    ("kind", "name", "controller", "noted"),
    [
        ("ConfigMap", "a", "", True),  # its own owner
        ("Deployment", "qwen", "", True),  # an object of the manifests, under another uid
        ("Widget", "x", "", False),  # the collector does not know the kind
        ("Deployment", "qwen", ", controller: true", False),  # left to its controller
    ],
)
def test_an_owner_reference_deletes_its_object_unless_the_kind_is_unknown(
    folder: Any, kind: str, name: str, controller: str, noted: bool
) -> None:
    assert bool(notes(folder, CONFIG_MAP % ("a", kind, name, controller))) == noted
