"""Classification of failed requests to engines: the reason, and whether to retry. Pure.

`classify` and `failure` are the only places where errors are classified: by exception type, status and code first, by
text last (`load_errors.py` has the table). A runtime sidecar reports its own errors with codes, and passes on an
engine's response.
"""

import errno
import re
import socket
from enum import Enum
from typing import Any

import httpx
import msgspec

from controller.engine.load_errors import UNKNOWN, Fault, LoadErrorRow, find_row, presentable, unwrap
from controller.engine.response_body import BodyError
from controller.engine.sidecar_codes import CODES
from formats.retry_after import parse_retry_after


class Scope(Enum):
    """Subject of a final error, which is not tried again for a while."""

    ADAPTER = "adapter"
    """The adapter: no other pod would succeed."""
    POD = "pod"
    """The pod: another may succeed."""


class EngineError(Exception):
    """A request to an engine failed. The message contains no key."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        retriable: bool,
        scope: Scope = Scope.POD,
        elsewhere: bool = False,
        ambiguous: bool = False,
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        """Reason for conditions, in CamelCase."""
        self.message = message
        self.retriable = retriable
        self.scope = scope
        self.elsewhere = elsewhere
        """True if another pod is tried before this one is tried again."""
        self.ambiguous = ambiguous
        """True if the engine may have executed the request, or may still do so."""
        self.retry_after = retry_after
        """Seconds from the response's `Retry-After`; 0 without this header."""

    @property
    def no_route(self) -> bool:
        """True if the engine has no route for the request, so that it changes no adapters at all."""
        return self.reason == _NO_ROUTE

    @property
    def of_engine(self) -> bool:
        """True if other adapters would meet it on this engine too."""
        return self.scope is Scope.POD and self.reason not in _OF_ADAPTER


_NO_ROUTE = "RuntimeUpdatingOff"
_OF_ADAPTER = frozenset(
    {
        "NameTaken",
        "Refused",
        "Unauthorized",
        "CredentialsWithheld",
        "SecretUnavailable",
        "SecretNotFound",
        "SecretForbidden",
        "SecretKeyMissing",
        "ArtifactNotFound",
        "ArtifactTooLarge",
        "StoreUnsupported",
        "StoreUnavailable",
        "StoreTimeout",
        "Superseded",
    }
)
"""Reasons that concern one pod, and only the adapter's name, key or artifact there."""


class AlreadyLoaded(EngineError):
    """The name is taken on this engine; its list shows by which artifact."""


class _Detail(msgspec.Struct):
    message: str = ""
    type: str = ""
    code: Any = None
    """vLLM: the status again. The sidecar: a code."""


class _Failure(msgspec.Struct):
    """vLLM's error envelope.

    Older versions have the message at the top level, routing errors a `detail`, and SGLang an `error_message` for loads
    and unloads.
    """

    error: _Detail | str | None = None
    message: str = ""
    type: str = ""
    detail: Any = None
    error_message: str | None = None


_FAILURE = msgspec.json.Decoder(_Failure)


def classify(error: Exception, timeout: float) -> EngineError:
    """Return the error of a request without an answer; all of these are retriable."""
    match error:
        case httpx.ConnectTimeout():
            return EngineError("ConnectTimeout", "connection timeout", retriable=True)
        case httpx.ConnectError():
            return EngineError("ConnectError", _unconnected(error), retriable=True)
        case httpx.TimeoutException() | TimeoutError():
            return EngineError("Timeout", f"timeout: no answer in {timeout:g} s", retriable=True, ambiguous=True)
        case httpx.RemoteProtocolError():
            return EngineError("Disconnected", "server closed the connection early", retriable=True, ambiguous=True)
        case BodyError():
            return EngineError("InvalidAnswer", str(error), retriable=True, ambiguous=True)
        case httpx.ReadError() | httpx.WriteError() | httpx.CloseError():
            return EngineError("ConnectionReset", "connection reset", retriable=True, ambiguous=True)
    return EngineError("RequestFailed", type(error).__name__, retriable=True, ambiguous=True)


_NO_CONNECTION = {
    errno.ECONNREFUSED: "connection refused",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable",
    socket.EAI_AGAIN: "temporary failure",
}


def _unconnected(error: BaseException) -> str:
    """Return the operating system's error, which is among the causes of the library's error."""
    cause: BaseException | None = error
    while cause is not None:
        message = str(cause).lower()
        for number, text in _NO_CONNECTION.items():
            if text in message or (isinstance(cause, OSError) and cause.errno == number):
                return text
        cause = cause.__cause__ or cause.__context__
    return "no connection"


_NAME_TAKEN = ("already been loaded", "it is already loaded", "already exists. loaded loras")
"""Texts of vLLM and SGLang."""

_RETRIABLE = frozenset({408, 429, 500, 502, 503, 504})
MAX_RETRY_AFTER = 60.0
"""Seconds; a server that asks for more is tried again after this time, then with the usual delays."""


def _sidecar_error(code: str, message: str, response: httpx.Response) -> EngineError | None:
    """Return the error for a sidecar's code (`sidecar/errors.py`); None if the engine's text decides."""
    if code == "name_taken":
        return AlreadyLoaded("AlreadyLoaded", message, retriable=False)
    if code == "engine_timeout":
        return EngineError("Timeout", message, retriable=True, ambiguous=True)
    error_class = CODES.get(code)
    if error_class is None:
        return None
    scope = Scope.ADAPTER if error_class.adapter_error else Scope.POD
    return EngineError(
        error_class.reason, message, retriable=error_class.retriable, scope=scope, retry_after=_retry_after(response)
    )


def failure(verb: str, response: httpx.Response, body: bytes) -> EngineError:
    """Return the error of a response that is not 200."""
    status, detail = response.status_code, _detail(body)
    text = unwrap(detail.message)
    message = f"{status} {presentable(text)}".strip()
    if isinstance(detail.code, str):
        error = _sidecar_error(detail.code, presentable(detail.message), response)
        if error is not None:
            return error
    if status in (401, 403):
        hint = "the engine refuses the key: see additionalConfig.api-key or apiKeySecretRef"
        return EngineError("Unauthorized", f"{status} {hint}", retriable=False)
    if name_taken(text):
        return AlreadyLoaded("AlreadyLoaded", message, retriable=False)
    if status == 404:
        return _not_found(detail, message)
    if verb == "load" and (row := _load_error_row(status, text)) is not None:
        return _load_error(row, message)
    if status in _RETRIABLE:
        retry_after = _retry_after(response)
        return EngineError(
            "Overloaded" if status == 429 else "EngineUnavailable",
            message,
            retriable=True,
            elsewhere=retry_after > 0.0,
            ambiguous=status in (408, 502, 504),  # 502: a proxy that got no response
            retry_after=retry_after,
        )
    scope = Scope.ADAPTER if status in (400, 422) else Scope.POD
    return EngineError("Refused", message, retriable=status > 500, scope=scope)


def _load_error_row(status: int, text: str) -> LoadErrorRow | None:
    """Return the table's row for a failed load; None if the status says all that is known."""
    if status == 500:
        return find_row(text) or UNKNOWN
    return find_row(text) if status == 400 else None


def _load_error(row: LoadErrorRow, message: str) -> EngineError:
    described = message if " " in message else f"{message} without a text; the engine's log has the cause"
    return EngineError(
        row.reason,
        f"{described.rstrip('.')}: {row.hint}" if row.hint else described,
        retriable=row.fault is Fault.ENGINE,
        scope=Scope.ADAPTER if row.fault is Fault.ADAPTER else Scope.POD,
        elsewhere=row.fault is Fault.ENGINE,
        ambiguous=row.ambiguous,
    )


_PATH_NOT_FOUND = re.compile(r"No adapter found for [/~<]")
"""A path, which this pod lacks; a repository's name is the same for every pod. `<`: a masked path."""


def _not_found(detail: _Detail, message: str) -> EngineError:
    """Return the error of a 404: of the route, or of the artifact."""
    if detail.type:
        scope = Scope.POD if _PATH_NOT_FOUND.search(detail.message) else Scope.ADAPTER
        return EngineError("ArtifactNotFound", message, retriable=False, scope=scope)
    return EngineError(
        _NO_ROUTE,
        "404 the engine has no such route: set VLLM_ALLOW_RUNTIME_LORA_UPDATING=True on it; for SGLang, set the pod's"
        " label model.aibrix.ai/engine",
        retriable=False,
    )


def _detail(body: bytes) -> _Detail:
    try:
        failed = _FAILURE.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return _Detail(message=body[:200].decode(errors="replace").strip())
    if isinstance(failed.error, _Detail):
        return failed.error
    if isinstance(failed.error, str):
        return _Detail(message=failed.error)
    return _Detail(message=failed.message or failed.error_message or str(failed.detail or ""), type=failed.type)


def name_taken(message: str) -> bool:
    """Return whether a load was refused because the name is already loaded."""
    text = message.lower()
    return any(sign in text for sign in _NAME_TAKEN)


def name_unknown(status: int, message: str) -> bool:
    """Return whether an unload was refused because the name is not loaded (vLLM's text, then SGLang's)."""
    return (status == 404 and "cannot be found" in message) or (status == 400 and "does not exist" in message)


def _retry_after(response: httpx.Response) -> float:
    """Return seconds; 0 without the header, or if its value is not valid."""
    headers = response.headers
    seconds = parse_retry_after(headers.get("retry-after", ""), headers.get("date", "")) or 0.0
    return min(seconds, MAX_RETRY_AFTER)
