"""Calls of admission webhooks: AdmissionReview in, a decision out.

The texts are those of a real server (`k8s.io/apiserver/pkg/admission/plugin/webhook`), held to a recording of one
(`tests/twin/apiserver/admission`).
"""

import base64
import binascii
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from twin.apiserver.admission.matching import Admitted
from twin.apiserver.admission.services import service_error, service_url
from twin.apiserver.meta.errors import ApiError, Object

_DEFAULT_TIMEOUT = 10  # seconds; pkg/apis/admissionregistration/v1/defaults.go
_DENIED = 400  # status of a denial that names none


@dataclass(frozen=True, slots=True)
class Decision:
    """Answer of a webhook that allows a write.

    Attributes:
        patch: JSON patch of the object; empty without one.
        warnings: texts for the client.
    """

    patch: tuple[Object, ...] = ()
    warnings: tuple[str, ...] = ()


class CallFailed(Exception):
    """The webhook could not be asked, or its answer is not one."""


async def ask(hook: Mapping[str, Any], write: Admitted, kind: str, uid: str, service: Object | None = None) -> Decision:
    """Ask a webhook about a write; a failure counts as consent with `failurePolicy: Ignore`.

    Args:
        hook: the webhook.
        write: the write.
        kind: kind of the written object.
        uid: uid of the request.
        service: the Service that the webhook names; None if it names none or it does not exist.

    Raises:
        ApiError: the webhook denies the write, or it failed and its policy is `Fail`.
    """
    try:
        response = _checked(await _call(hook, review(write, kind, uid), service), uid)
    except CallFailed as failure:
        if hook.get("failurePolicy") == "Ignore":
            return Decision()
        raise _internal(f'failed calling webhook "{hook["name"]}": {failure}') from None
    if not response.get("allowed"):
        raise _denial(hook["name"], response.get("status") or {})
    return Decision(_patch(hook["name"], response), tuple(map(str, response.get("warnings") or ())))


def review(write: Admitted, kind: str, uid: str) -> Object:
    """Return the AdmissionReview about a write."""
    group_version = {"group": write.group, "version": write.version}
    request = {
        "uid": uid,
        "kind": {**group_version, "kind": kind},
        "resource": {**group_version, "resource": write.resource},
        "requestKind": {**group_version, "kind": kind},
        "requestResource": {**group_version, "resource": write.resource},
        **({"subResource": write.subresource} if write.subresource else {}),
        "name": write.name,
        **({"namespace": write.namespace} if write.namespace else {}),
        "operation": write.operation,
        "userInfo": {"username": write.user, "groups": list(write.groups)},
        "object": write.object,
        "oldObject": write.old,
        "dryRun": write.dry_run,
        "options": {"kind": f"{write.operation.capitalize()}Options", "apiVersion": "meta.k8s.io/v1"},
    }
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}


async def _call(hook: Mapping[str, Any], body: Object, service: Object | None) -> Any:
    config, seconds = hook.get("clientConfig") or {}, hook.get("timeoutSeconds") or _DEFAULT_TIMEOUT
    if reference := config.get("service"):
        url = f"{service_url(reference)}?timeout={seconds}s"
        raise CallFailed(f'failed to call webhook: Post "{url}": {service_error(reference, service)}')
    url = f"{config['url']}?timeout={seconds}s"
    try:
        async with httpx.AsyncClient(verify=_trust(config.get("caBundle") or ""), timeout=seconds) as client:
            answer = await client.post(url, content=msgspec.json.encode(body), headers=_HEADERS)
    except httpx.TimeoutException:
        raise CallFailed(f'failed to call webhook: Post "{url}": context deadline exceeded') from None
    except httpx.TransportError as error:
        raise CallFailed(f'failed to call webhook: Post "{url}": {_cause(url, error)}') from None
    if answer.status_code >= 300:
        raise CallFailed(f"failed to call webhook: the server responded {answer.status_code}")
    try:
        return msgspec.json.decode(answer.content)
    except msgspec.DecodeError as error:
        raise CallFailed(f"failed to call webhook: {error}") from None


_HEADERS = {"content-type": "application/json", "accept": "application/json"}


def _trust(bundle: str) -> ssl.SSLContext:
    """Return the context that trusts a CA bundle; without one the roots of this machine."""
    if not bundle:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
    except (ssl.SSLError, ValueError):
        problem = "unable to load root certificates: unable to parse bytes as PEM block"
        raise CallFailed(f"could not get REST client: {problem}") from None


def _cause(url: str, error: httpx.TransportError) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    if isinstance(error, httpx.ConnectError):
        host = httpx.URL(url)
        return f"dial tcp {host.host}:{host.port or 443}: connect: connection refused"
    return str(error) or "EOF"


def _checked(answer: Any, uid: str) -> Object:
    """Return the response of an AdmissionReview. Raises CallFailed without one, or for another request."""
    response = answer.get("response") if isinstance(answer, dict) else None
    if not isinstance(response, dict):
        raise CallFailed("webhook response was absent")
    if response.get("uid") != uid:
        expected = f'expected response.uid="{uid}", got "{response.get("uid", "")}"'
        raise CallFailed(f"received invalid webhook response: {expected}")
    return response


def _internal(text: str) -> ApiError:
    details = {"causes": [{"message": text}]}
    return ApiError(500, "InternalError", f"Internal error occurred: {text}", details=details)


def _denial(name: str, status: Mapping[str, Any]) -> ApiError:
    text = f'admission webhook "{name}" denied the request'
    message, reason = status.get("message"), status.get("reason") or ""
    text += f": {message}" if message else f": {reason}" if reason else " without explanation"
    code = status.get("code") or _DENIED
    return ApiError(code if code >= _DENIED else _DENIED, reason, text)


def _patch(name: str, response: Mapping[str, Any]) -> tuple[Object, ...]:
    """Return the JSON patch of a response. Raises ApiError if it is malformed."""
    if not response.get("patch"):
        return ()
    try:
        patch = msgspec.json.decode(base64.b64decode(response["patch"], validate=True))
    except (binascii.Error, msgspec.DecodeError, TypeError) as error:
        raise _internal(f'failed calling webhook "{name}": received invalid patch: {error}') from None
    return tuple(patch)
