"""Registered webhooks and policies decide about writes, in the words of a real server.

`recorded-1.36.json` has the answers of a real kube-apiserver 1.36.3 to the same requests; port, uid and name of the
object are masked. `registrations-1.36.json` has its answers to wrong webhook configurations.
"""

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.twin.serve.api import on_sockets, served_store
from twin.serve import certificates

Object = dict[str, Any]
Reply = Callable[[Object], Object]
RECORDED: dict[str, Object] = json.loads((Path(__file__).parent / "recorded-1.36.json").read_text())
REGISTRATIONS: dict[str, Object] = json.loads((Path(__file__).parent / "registrations-1.36.json").read_text())
GROUP = "/apis/admissionregistration.k8s.io/v1"
MAPS = "/api/v1/namespaces/default/configmaps"
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}
NOT_C = {"expression": "object.data.a == 'c'"}
LABELS = base64.b64encode(b'[{"op":"add","path":"/metadata/labels","value":{"x":"y"}}]').decode()


class Webhook:
    """An HTTPS server that answers AdmissionReviews."""

    def __init__(self) -> None:
        self.seen: list[Object] = []
        self.reply: Reply = lambda _: {"allowed": True}
        made = certificates.make("127.0.0.1")
        self.bundle = base64.b64encode(made.ca).decode()
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))["request"]
                webhook.seen.append(request)
                body = json.dumps({"response": {"uid": request["uid"], **webhook.reply(request)}}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Write no log."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign] - a client that hangs up
        made.context.verify_mode = ssl.CERT_NONE
        self.server.socket = made.context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_port}/check"

    def hook(self, **changes: Any) -> Object:
        """Return a webhook of a configuration."""
        return {
            "name": "policy.example.com",
            "clientConfig": {"url": self.url, "caBundle": self.bundle},
            "rules": [RULE],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 2,
            **changes,
        }


@contextmanager
def running_webhook() -> Iterator[Webhook]:
    webhook = Webhook()
    thread = threading.Thread(target=webhook.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield webhook
    webhook.server.shutdown()
    webhook.server.server_close()


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    with running_webhook() as running:
        yield running


async def register(client: httpx.AsyncClient, kind: str, **fields: Any) -> httpx.Response:
    plural = f"{kind.lower().removesuffix('y')}ies" if kind.endswith("y") else f"{kind.lower()}s"
    name = "keep-all" if kind.endswith("Binding") else "keep" if kind.endswith("Policy") else "policy"
    body = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, **fields}
    return await client.post(f"{GROUP}/{plural}", json=body)


def outcome(response: httpx.Response, webhook: Webhook | None = None) -> Object:
    """Return the parts of an answer that are recorded."""
    body, found = response.json(), Object(code=response.status_code)
    if body.get("kind") == "Status":
        message = body["message"]
        if webhook is not None:
            message = message.replace(str(webhook.server.server_port), "PORT")
            for request in webhook.seen[-1:]:
                message = message.replace(request["uid"], "UID")
        found |= {"reason": body.get("reason", ""), "message": message}
    if warnings := response.headers.get_list("warning"):
        found["warnings"] = warnings
    if body.get("metadata", {}).get("labels"):
        found["labels"] = body["metadata"]["labels"]
    return found


async def create(client: httpx.AsyncClient, name: str = "checked") -> httpx.Response:
    return await client.post(MAPS, json={"metadata": {"name": name}, "data": {"a": "b"}})


async def create_services(client: httpx.AsyncClient) -> None:
    for name, spec in SERVICES.items():
        created = await client.post(
            "/api/v1/namespaces/default/services", json={"metadata": {"name": name}, "spec": spec}
        )
        assert created.status_code == 201


def slow(_: Object) -> Object:
    threading.Event().wait(1.5)
    return {"allowed": True}


SERVICES = {
    "headless": {"clusterIP": "None", "ports": [{"port": 443}]},
    "noport": {"ports": [{"port": 8443}]},
    "silent": {"clusterIP": "10.96.7.7", "ports": [{"port": 443}]},
}
SWAPPED = {
    "service-nameless": ("service.namespace", "service.name"),
    "service-nowhere": ("service.name", "service.namespace"),
}
"""A real server names the field that is there instead of the one that is missing; the twin names the missing one."""
BEHIND = {"namespace": "default", "path": "/x"}
DENIED = {"allowed": False, "status": {"message": "no way"}}
STORIES: dict[str, tuple[str, Object, Reply]] = {
    "deny": ("Validating", {}, lambda _: DENIED),
    "deny403": (
        "Validating",
        {},
        lambda _: {"allowed": False, "status": {"message": "no way", "code": 403, "reason": "Forbidden"}},
    ),
    "denybare": ("Validating", {}, lambda _: {"allowed": False}),
    "warn": ("Validating", {}, lambda _: {"allowed": True, "warnings": ["careful"]}),
    "mutate": ("Mutating", {}, lambda _: {"allowed": True, "patchType": "JSONPatch", "patch": LABELS}),
    "noca": ("Validating", {"clientConfig": "no bundle"}, lambda _: {"allowed": True}),
    "nocaignore": ("Validating", {"clientConfig": "no bundle", "failurePolicy": "Ignore"}, lambda _: {"allowed": True}),
    "refused": ("Validating", {"clientConfig": {"url": "https://127.0.0.1:1/check"}}, lambda _: {"allowed": True}),
    "service": (
        "Validating",
        {"clientConfig": {"service": {"namespace": "default", "name": "nope", "path": "/x"}}},
        lambda _: {"allowed": True},
    ),
    "service-headless": ("Validating", {"clientConfig": {"service": {**BEHIND, "name": "headless"}}}, lambda _: {}),
    "service-noport": ("Validating", {"clientConfig": {"service": {**BEHIND, "name": "noport"}}}, lambda _: {}),
    "timeout": ("Validating", {"timeoutSeconds": 1}, slow),
    "wronguid": ("Validating", {}, lambda _: {"uid": "x", "allowed": True}),
    "badca": ("Validating", {"clientConfig": "bad bundle"}, lambda _: {"allowed": True}),
    "nourl": ("Validating", {"clientConfig": {}}, lambda _: {}),
    "http": ("Validating", {"clientConfig": {"url": "http://127.0.0.1/x"}}, lambda _: {}),
    "noside": ("Validating", {"sideEffects": None}, lambda _: {}),
    "timeout99": ("Validating", {"timeoutSeconds": 99}, lambda _: {}),
}


@pytest.mark.parametrize("name", STORIES)
def test_a_webhook_decides_as_at_a_real_server(name: str, webhook: Webhook) -> None:
    @on_sockets
    async def story() -> None:
        kind, changes, webhook.reply = STORIES[name]
        config: Any = changes.get("clientConfig")
        if isinstance(config, str):
            bundle = {"caBundle": base64.b64encode(b"nope").decode()} if config == "bad bundle" else {}
            changes = {**changes, "clientConfig": {"url": webhook.url, **bundle}}
        async with served_store() as api:
            await create_services(api.client)
            registered = await register(api.client, f"{kind}WebhookConfiguration", webhooks=[webhook.hook(**changes)])
            response = await create(api.client) if registered.status_code == 201 else registered
        expected = {key: value for key, value in RECORDED[name].items() if key != "registered"}
        assert outcome(response, webhook) == expected

    story()


@pytest.mark.parametrize("name", REGISTRATIONS)
def test_a_wrong_registration_is_refused_as_by_a_real_server(name: str) -> None:
    """Errors of JSON types name the same field; their words are those of all builtin kinds of the twin."""
    recorded = REGISTRATIONS[name]
    hook = {
        "name": "policy.example.com",
        "clientConfig": {"url": "https://x"},
        "rules": [RULE],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **recorded.get("hook", {}),
    }

    @on_sockets
    async def story() -> None:
        async with served_store() as api:
            webhooks = recorded.get("webhooks", [hook])
            refused = (await register(api.client, "ValidatingWebhookConfiguration", webhooks=webhooks)).json()
        assert refused["code"] == recorded["code"]
        if refused["code"] == 422:
            present, missing = SWAPPED.get(name, ("", ""))
            assert refused["message"] == recorded["message"].replace(present, missing)
        else:
            assert refused["message"].split(": ")[0] == recorded["message"].split(": ")[0]

    story()


@on_sockets
async def test_a_service_without_endpoints_refuses_a_call_and_ignore_lets_the_write_pass() -> None:
    hook = {
        "name": "policy.example.com",
        "clientConfig": {"service": {**BEHIND, "name": "silent"}},
        "rules": [RULE],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    async with served_store() as api:
        await create_services(api.client)
        await register(api.client, "ValidatingWebhookConfiguration", webhooks=[hook])
        refused = await create(api.client)
        path = f"{GROUP}/validatingwebhookconfigurations/policy"
        await api.client.delete(path)
        await register(api.client, "ValidatingWebhookConfiguration", webhooks=[{**hook, "failurePolicy": "Ignore"}])
        assert (await create(api.client)).status_code == 201
    assert refused.json()["message"].endswith("dial tcp 10.96.7.7:443: connect: connection refused")


POLICIES: dict[str, tuple[Object, str]] = {
    "vap-expr": (NOT_C, "Deny"),
    "vap-msg": ({**NOT_C, "message": "a has to be c"}, "Deny"),
    "vap-reason": ({**NOT_C, "message": "a has to be c", "reason": "Forbidden"}, "Deny"),
    "vap-msgexpr": ({**NOT_C, "messageExpression": "'a is ' + object.data.a"}, "Deny"),
    "vap-warn": ({**NOT_C, "message": "a has to be c"}, "Warn"),
    "vap-error": ({"expression": "object.data.z == 'c'"}, "Deny"),
    "vap-ok": (
        {"expression": "object.data.a == 'b' && request.operation == 'CREATE' && oldObject == null"},
        "Deny",
    ),
}


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_decides_as_at_a_real_server(name: str) -> None:
    @on_sockets
    async def story() -> None:
        validation, action = POLICIES[name]
        spec = {"matchConstraints": {"resourceRules": [RULE]}, "validations": [validation]}
        async with served_store() as api:
            assert (await register(api.client, "ValidatingAdmissionPolicy", spec=spec)).status_code == 201
            binding = {"policyName": "keep", "validationActions": [action]}
            assert (await register(api.client, "ValidatingAdmissionPolicyBinding", spec=binding)).status_code == 201
            response = await create(api.client)
        assert outcome(response) == RECORDED[name]

    story()


@on_sockets
async def test_a_policy_that_does_not_compile_is_refused() -> None:
    spec = {"matchConstraints": {"resourceRules": [RULE]}, "validations": [{"expression": "object.data.a = 'c'"}]}
    async with served_store() as api:
        refused = outcome(await register(api.client, "ValidatingAdmissionPolicy", spec=spec))
    assert (refused["code"], refused["reason"]) == (RECORDED["vap-bad"]["code"], RECORDED["vap-bad"]["reason"])
    assert "spec.validations[0].expression: Invalid value" in refused["message"]


def test_a_webhook_sees_old_and_new_object_and_its_change_is_stored(webhook: Webhook) -> None:
    @on_sockets
    async def story() -> None:
        webhook.reply = lambda _: {"allowed": True, "patchType": "JSONPatch", "patch": LABELS}
        webhook.seen.clear()
        async with served_store() as api:
            await create(api.client)
            await register(api.client, "MutatingWebhookConfiguration", webhooks=[webhook.hook()])
            await api.client.patch(
                f"{MAPS}/checked",
                json={"data": {"a": "new"}},
                headers={"content-type": "application/merge-patch+json"},
            )
            stored = (await api.client.get(f"{MAPS}/checked")).json()
        [request] = webhook.seen
        assert (request["operation"], request["oldObject"]["data"], request["object"]["data"]) == (
            "UPDATE",
            {"a": "b"},
            {"a": "new"},
        )
        assert (stored["metadata"]["labels"], stored["data"]) == ({"x": "y"}, {"a": "new"})

    story()


def test_requests_that_no_rule_names_are_not_asked_about(webhook: Webhook) -> None:
    @on_sockets
    async def story() -> None:
        webhook.reply = lambda _: DENIED
        webhook.seen.clear()
        async with served_store() as api:
            hook = webhook.hook(namespaceSelector={"matchLabels": {"checked": "yes"}})
            await register(api.client, "ValidatingWebhookConfiguration", webhooks=[hook])
            assert (await create(api.client)).status_code == 201
            assert (await api.client.delete(f"{MAPS}/checked")).status_code == 200
        assert webhook.seen == []

    story()
