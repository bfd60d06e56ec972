"""What went wrong with a request to an engine, and whether to try again. Pure.

`classify` and `failure` are the one place where errors are sorted, on exception type, status and code first, text last
(vLLM answers 500 for an adapter's own faults as well, and SGLang 400 for everything, so the text has to decide there).
A runtime sidecar answers for itself with codes, and for the engine with the engine's words.
"""

import errno
import socket
from enum import Enum
from typing import Any

import httpx
import msgspec

from controller.engine.sidecar_codes import CODES


class Scope(Enum):
    """Whom a final error is about, and so who is not to be tried again for a while."""

    ADAPTER = "adapter"
    """No other pod would do better."""
    POD = "pod"
    """Another pod may."""


class EngineError(Exception):
    """A request to an engine failed. The message can be shown: it holds no key."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        retriable: bool,
        scope: Scope = Scope.POD,
        ambiguous: bool = False,
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        """One word for conditions, CamelCase."""
        self.message = message
        self.retriable = retriable
        self.scope = scope
        self.ambiguous = ambiguous
        """Whether the engine may have done, or may still do, what was asked."""
        self.retry_after = retry_after
        """Seconds that the engine asked to wait; 0 if it did not."""


class AlreadyLoaded(EngineError):
    """The name is taken on this engine; whether by the same artifact has to be looked up."""


class RemoveFailed(EngineError):
    """The engine has dropped the weights and cannot remove the name: load in place, then unload again."""


class _Detail(msgspec.Struct):
    message: str = ""
    type: str = ""
    code: Any = None
    """vLLM: the status once more. The sidecar: a word."""


class _Failure(msgspec.Struct):
    """vLLM's error envelope; older versions have the message at the top, plain routing errors a `detail`, and SGLang
    an `error_message` for loads and unloads."""

    error: _Detail | str | None = None
    message: str = ""
    type: str = ""
    detail: Any = None
    error_message: str | None = None


_FAILURE = msgspec.json.Decoder(_Failure)


def classify(error: Exception, timeout: float) -> EngineError:
    """The `EngineError` of a request that got no answer: all of these are worth another try."""
    match error:
        case httpx.ConnectTimeout():
            return EngineError("ConnectTimeout", "connection timeout", retriable=True)
        case httpx.ConnectError():
            return EngineError("ConnectError", _unconnected(error), retriable=True)
        case httpx.TimeoutException() | TimeoutError():
            return EngineError("Timeout", f"timeout: no answer in {timeout:g} s", retriable=True, ambiguous=True)
        case httpx.RemoteProtocolError():
            return EngineError("Disconnected", "server closed the connection early", retriable=True, ambiguous=True)
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
    """What the system said. The library says it in its own words (on real sockets, that all attempts failed), and has
    the system's behind them."""
    cause: BaseException | None = error
    while cause is not None:
        said = str(cause).lower()
        for number, text in _NO_CONNECTION.items():
            if text in said or (isinstance(cause, OSError) and cause.errno == number):
                return text
        cause = cause.__cause__ or cause.__context__
    return "no connection"


_ADAPTERS_FAULT = (
    "loading lora",
    "max_lora_rank",
    "target module",
    "safetensors",
    "deserializing",
    "adapter_config",
    "invalid adapter",
)
"""In the text of a 500: it is the adapter (vLLM's `serving.py` passes the engine's own text on)."""

_TAKEN = ("already been loaded", "it is already loaded", "already exists. loaded loras")
"""Of vLLM, and of SGLang by what noticed first."""

_SGLANGS = (
    ("lora is not enabled", "RuntimeUpdatingOff", Scope.POD),
    ("out of memory", "OutOfMemory", Scope.POD),
    ("lora memory pool", "InvalidAdapter", Scope.ADAPTER),
    ("repository not found", "ArtifactNotFound", Scope.ADAPTER),
    ("repo id must be", "ArtifactNotFound", Scope.ADAPTER),
)
"""In the text of a 400: what SGLang means (lora/lora_manager.py; of paths and repositories huggingface_hub speaks)."""

_RETRIABLE = frozenset({408, 429, 500, 502, 503, 504})


def _coded(code: str, message: str, response: httpx.Response) -> EngineError | None:
    """The `EngineError` of a sidecar's code (`sidecar/errors.py`); None if the engine's own words decide."""
    if code == "name_taken":
        return AlreadyLoaded("AlreadyLoaded", message, retriable=False)
    if code == "engine_timeout":
        return EngineError("Timeout", message, retriable=True, ambiguous=True)
    known = CODES.get(code)
    if known is None:
        return None
    scope = Scope.ADAPTER if known.adapters_fault else Scope.POD
    return EngineError(
        known.reason, message, retriable=known.retriable, scope=scope, retry_after=_retry_after(response)
    )


def _sglangs(text: str, shown: str) -> EngineError | None:
    """The `EngineError` of a refusal that only SGLang puts so; None for others, its own unknown ones too."""
    for sign, reason, scope in _SGLANGS:
        if sign in text:
            return EngineError(reason, shown, retriable=False, scope=scope)
    return None


def failure(verb: str, response: httpx.Response, body: bytes) -> EngineError:
    """The `EngineError` of an answer that is not 200."""
    status, said = response.status_code, _text(body)
    text = said.message.lower()
    shown = f"{status} {said.message}".strip()[:300]
    if isinstance(said.code, str) and (coded := _coded(said.code, said.message[:300], response)) is not None:
        return coded
    if status in (401, 403):
        hint = "the engine refuses the key: see additionalConfig.api-key or apiKeySecretRef"
        return EngineError("Unauthorized", f"{status} {hint}", retriable=False)
    if name_taken(text):
        return AlreadyLoaded("AlreadyLoaded", shown, retriable=False)
    if status == 400 and (refused := _sglangs(text, shown)) is not None:
        return refused
    if status == 404 and not said.type:
        return EngineError(
            "RuntimeUpdatingOff",
            "404 the engine has no such route: set VLLM_ALLOW_RUNTIME_LORA_UPDATING=True on it; if it is SGLang, say so"
            " by its pod's label model.aibrix.ai/engine",
            retriable=False,
        )
    if status == 404:
        return EngineError("ArtifactNotFound", shown, retriable=False, scope=Scope.ADAPTER)
    if status == 500 and verb == "unload" and "failed to remove" in text:
        return RemoveFailed("RemoveFailed", shown, retriable=True)
    if status == 500 and any(sign in text for sign in _ADAPTERS_FAULT):
        return EngineError("InvalidAdapter", shown, retriable=False, scope=Scope.ADAPTER)
    if status == 500 and "out of memory" in text:
        return EngineError("OutOfMemory", shown, retriable=False)
    if status in _RETRIABLE:
        return EngineError(
            "Overloaded" if status == 429 else "EngineUnavailable",
            shown,
            retriable=True,
            ambiguous=status in (408, 502, 504),  # 502: a proxy on the way that heard no end of it
            retry_after=_retry_after(response),
        )
    scope = Scope.ADAPTER if status in (400, 422) else Scope.POD
    return EngineError("Refused", shown, retriable=status > 500, scope=scope)


def _text(body: bytes) -> _Detail:
    try:
        said = _FAILURE.decode(body)
    except msgspec.MsgspecError:
        return _Detail(message=body[:200].decode(errors="replace").strip())
    if isinstance(said.error, _Detail):
        return said.error
    if isinstance(said.error, str):
        return _Detail(message=said.error)
    return _Detail(message=said.message or said.error_message or str(said.detail or ""), type=said.type)


def name_taken(said: str) -> bool:
    """Whether a load is refused because the name is loaded already."""
    text = said.lower()
    return any(sign in text for sign in _TAKEN)


def name_unknown(status: int, said: str) -> bool:
    """Whether an unload is refused because the engine knows no such name: vLLM's words, then SGLang's."""
    return (status == 404 and "cannot be found" in said) or (status == 400 and "does not exist" in said)


def _retry_after(response: httpx.Response) -> float:
    """Seconds; the header's other form, a date, is not used by engines."""
    try:
        return max(float(response.headers.get("retry-after", "0")), 0.0)
    except ValueError:
        return 0.0
