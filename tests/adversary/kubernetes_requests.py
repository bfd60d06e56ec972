"""Requests to a Kubernetes API: writes of every kind with mutated bodies, and odd paths, queries and headers."""

from collections.abc import Iterator
from random import Random
from typing import Any
from urllib.parse import quote

from tests.adversary.asgi import HttpRequest
from tests.adversary.manifests import MANIFESTS, REVIEWS, Manifest
from tests.adversary.values import ODD_TEXTS, encoded, mutated, odd_value

_PATCH_TYPES = (
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/json-patch+json",
    "application/apply-patch+yaml",
)
_QUERIES = {
    "labelSelector": ("a=b", "a in (b", "!a", "a!=b,c", "a notin (x,y)", "=", ",,", "a in ()"),
    "fieldSelector": ("metadata.name=a", "spec.nodeName!=", "status.phase=Running", "a", "metadata.name=a,b", "=x"),
    "limit": ("1", "0", "-1", "2", "99999999999999999999", "x"),
    "continue": ("eyJ2IjoibWV0YSJ9", "e30", "bnVsbA", "W10", "%%%", "MQ==", "eyJydiI6IngifQ", "eyJydiI6MX0"),
    "resourceVersion": ("0", "1", "999999999999", "-1", "x", "1.5", "²"),
    "resourceVersionMatch": ("Exact", "NotOlderThan", "x"),
    "watch": ("1", "true", "false", "x"),
    "timeoutSeconds": ("0", "1", "-1", "x", "1e9", "99999999999999999999999"),
    "allowWatchBookmarks": ("true", "x"),
    "sendInitialEvents": ("true", "false", "x"),
    "dryRun": ("All", "x"),
    "fieldManager": ("me", "a" * 200, "\n", "é"),
    "fieldValidation": ("Strict", "Warn", "Ignore", "x"),
    "force": ("true", "x"),
    "propagationPolicy": ("Foreground", "Background", "Orphan", "x"),
    "gracePeriodSeconds": ("0", "-1", "x", "1e400", "nan", "30"),
    "orphanDependents": ("true", "x"),
    "includeObject": ("Object", "Metadata", "None", "x"),
    "tailLines": ("0", "-1", "x", "5", "9" * 30),
    "sinceSeconds": ("0", "-1", "x", "5"),
    "sinceTime": ("x", "2026-01-01T00:00:00Z"),
    "limitBytes": ("0", "-1", "x", "9" * 30),
    "container": ("vllm", "x", ""),
    "timestamps": ("true", "x"),
    "follow": ("x",),
}
_HEADERS = {
    b"accept": (
        b"application/json", b"application/json;as=Table;v=v1;g=meta.k8s.io", b"*/*", b"text/html", b";;;", b",",
        b"\xff\xfe",
        b"application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", b"application/vnd.kubernetes.protobuf", b"",
        b"application/com.github.proto-openapi.spec.v2@v1.0+protobuf", b"application/json;as=Table;v=v9;g=x",
    ),
    b"user-agent": (b"", b"kubectl/v1.34", b"\xff", b"a" * 3000),
    b"impersonate-user": (b"alice", b"system:serviceaccount:default:a", b"", b"\xff", b"system:serviceaccount:::"),
    b"impersonate-group": (b"g", b"\xff", b"system:masters"),
    b"authorization": (b"Bearer x", b"Basic eDp4", b"Bearer", b"\xff\xff", b""),
    b"content-type": (b"application/json", b"application/yaml", b"text/plain", b"", b"\xff", b"application/json; x=y"),
    b"content-encoding": (b"gzip", b"x"),
}  # fmt: skip
_PATHS = (
    "/", "/api", "/api/v1", "/apis", "/apis/apps/v1", "/apis/nope", "/api/v1/nope", "/openapi/v2", "/openapi/v3",
    "/openapi/v3/apis/apps/v1", "/version", "/healthz", "/livez/x", "/api/v1/namespaces/default/pods/none/log",
    "/api/v1/watch/pods", "/api/v1/namespaces//pods", "/api/v2/pods", "/api/v1/namespaces/default", "//",
    "/api//v1/pods",
    "/apis/apps/v1/namespaces/default/deployments/web/scale", "/api/v1/namespaces/default/pods/web/exec",
    "/api/v1/namespaces/default/pods/web/binding", "/api/v1/namespaces/default/pods/web/eviction",
    "/api/v1/namespaces/default/serviceaccounts/default/token", "/apis/metrics.k8s.io/v1beta1/pods", "/logs",
)  # fmt: skip


def kubernetes_requests(rng: Random, token: str, count: int) -> Iterator[HttpRequest]:
    """Yield `count` requests, most of them with the administrator's token."""
    for _ in range(count):
        match rng.randrange(10):
            case 0 | 1 | 2 | 3 | 4 | 5:
                yield _write(rng, token)
            case 6:
                yield _review(rng, token)
            case 7 | 8:
                yield _read(rng, token)
            case _:
                method = rng.choice(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "x"))
                body = encoded(rng, odd_value(rng))
                yield HttpRequest(method, rng.choice(_PATHS) + _query(rng), body, _headers(rng, token))


def _write(rng: Random, token: str) -> HttpRequest:
    manifest = rng.choice(MANIFESTS)
    body = manifest.body
    name = rng.choice(
        (manifest.name, manifest.name, "new", quote(rng.choice(ODD_TEXTS).encode("utf-8", "ignore"), safe=""))
    )
    if name == "new":
        name = f"n{rng.randrange(50)}"
        body = {**body, "metadata": {**body["metadata"], "name": name}}
    body = mutated(rng, body, rng.randrange(4))
    subresource = rng.choice(("", "", "", "/status", "/scale", "/finalize", "/x"))
    match rng.randrange(6):
        case 0 | 1 | 2:
            return HttpRequest("POST", manifest.path + _query(rng), encoded(rng, body), _headers(rng, token))
        case 3:
            target = f"{manifest.path}/{name}{subresource}{_query(rng)}"
            return HttpRequest("PUT", target, encoded(rng, body), _headers(rng, token))
        case 4:
            type_ = rng.choice(_PATCH_TYPES)
            target = (
                f"{manifest.path}/{name}{subresource}{_query(rng, fieldManager='fuzz' if 'apply' in type_ else '')}"
            )
            return HttpRequest("PATCH", target, encoded(rng, _patch(rng, type_, body)), _headers(rng, token, type_))
    options = {
        "kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "propagationPolicy": "Background",
        "preconditions": {"uid": "x", "resourceVersion": "1"}, "dryRun": ["All"], "orphanDependents": None,
    }  # fmt: skip
    for key in rng.sample(sorted(options), rng.randrange(len(options))):
        del options[key]
    target = f"{manifest.path}{rng.choice(('', f'/{name}', f'/{name}', f'/{name}'))}{_query(rng)}"
    sent = encoded(rng, mutated(rng, options, rng.randrange(3))) if rng.random() < 0.7 else b""
    return HttpRequest("DELETE", target, sent, _headers(rng, token))


def _patch(rng: Random, type_: str, body: Any) -> Any:
    if "json-patch" in type_:
        operation = {
            "op": rng.choice(("add", "remove", "replace", "move", "copy", "test")),
            "from": "/spec",
            "value": 1,
        }
        paths = (
            "/spec/replicas",
            "/metadata/labels/a",
            "/spec",
            "",
            "/",
            "/spec/containers/0",
            "/metadata",
            "/a~2",
            "/x/-",
        )
        operations = [
            {**operation, "path": rng.choice(paths), "value": odd_value(rng)} for _ in range(rng.randrange(1, 3))
        ]
        return mutated(rng, operations, rng.randrange(3))
    if not isinstance(body, dict):
        return body
    kept = ("apiVersion", "kind") if "apply" in type_ else ()
    return {key: value for key, value in body.items() if key in kept or rng.random() < 0.6}


def _review(rng: Random, token: str) -> HttpRequest:
    manifest: Manifest = rng.choice(REVIEWS)
    body = mutated(rng, manifest.body, rng.randrange(4))
    return HttpRequest("POST", manifest.path + _query(rng), encoded(rng, body), _headers(rng, token))


def _read(rng: Random, token: str) -> HttpRequest:
    manifest = rng.choice(MANIFESTS)
    suffix = rng.choice(("", "", f"/{manifest.name}", f"/{manifest.name}/status", f"/{manifest.name}/scale"))
    if manifest.path.endswith("/pods") and rng.random() < 0.5:
        suffix = f"/{manifest.name}/log"
    return HttpRequest("GET", f"{manifest.path}{suffix}{_query(rng)}", b"", _headers(rng, token))


def _query(rng: Random, **given: str) -> str:
    parts = [f"{name}={value}" for name, value in given.items() if value]
    for name in rng.sample(sorted(_QUERIES), rng.choice((0, 0, 0, 1, 2))):
        value = rng.choice((*_QUERIES[name], rng.choice(ODD_TEXTS)))
        parts.append(f"{name}={quote(value.encode('utf-8', 'ignore'))}")
    return f"?{'&'.join(parts)}" if parts else ""


def _headers(rng: Random, token: str, content_type: str = "application/json") -> tuple[tuple[bytes, bytes], ...]:
    headers = {b"authorization": f"Bearer {token}".encode(), b"content-type": content_type.encode()}
    if rng.random() < 0.25:
        name = rng.choice(sorted(_HEADERS))
        headers[name] = rng.choice(_HEADERS[name])
    return tuple(headers.items())
