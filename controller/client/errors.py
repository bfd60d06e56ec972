"""Maps error responses of an API server to the errors of `interface.py`.

The `reason` of the `Status` object decides; without one (a proxy's response) the HTTP status does.
"""

import msgspec

from controller.client.interface import (
    AlreadyExists,
    ClientError,
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    NotFound,
    Unavailable,
    VersionTooLarge,
)
from controller.client.limits import MAX_MESSAGE

_BY_REASON: dict[str, type[ClientError]] = {
    "NotFound": NotFound,
    "AlreadyExists": AlreadyExists,
    "Conflict": Conflict,
    "Expired": Expired,
    "Gone": Expired,
    "Invalid": Invalid,
    "BadRequest": Invalid,
    "Forbidden": Forbidden,
    "Unauthorized": Forbidden,
}
_BY_CODE: dict[int, type[ClientError]] = {
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    408: Unavailable,
    409: Conflict,
    410: Expired,
    429: Unavailable,
}
MAX_RETRY_AFTER = 30.0
"""Seconds; a server that asks for more is asked again after this time."""
_MAX_TEXT = 300
"""Characters quoted from a response that is not a Status."""


_TOO_LARGE = "ResourceVersionTooLarge"
"""Reason of a cause (`metav1.CauseTypeResourceVersionTooLarge`); the reason of its Status is Timeout."""


class _Cause(msgspec.Struct):
    reason: str = ""


class _Details(msgspec.Struct, rename="camel"):
    retry_after_seconds: float = 0.0
    causes: list[_Cause] = []

    @property
    def too_large(self) -> bool:
        return any(cause.reason == _TOO_LARGE for cause in self.causes)


class Status(msgspec.Struct):
    """The fields of `metav1.Status` that describe an error."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: _Details | None = None


_STATUS = msgspec.json.Decoder(Status)


def from_response(code: int, body: bytes, retry_after: float | None = None) -> ClientError:
    """Return the error of a response; `retry_after` is the value of its header."""
    try:
        status = _STATUS.decode(body)
    except (msgspec.DecodeError, RecursionError):
        status = Status()
    if not status.message:
        text = body[:_MAX_TEXT].decode(errors="replace").strip() or "no reason given"
        status = Status(message=f"the server responded {code}: {text}", reason=status.reason, details=status.details)
    return from_status(status, code, retry_after)


def from_status(status: Status, code: int = 0, retry_after: float | None = None) -> ClientError:
    """Return the error of a Status, from a response or from a watch event."""
    code = code or status.code
    default = Unavailable if code >= 500 or code == 0 else Invalid
    kind = _BY_REASON.get(status.reason) or _BY_CODE.get(code, default)
    if status.details is not None and status.details.too_large:
        kind = VersionTooLarge
    if retry_after is None and status.details is not None and status.details.retry_after_seconds:
        retry_after = status.details.retry_after_seconds
    if retry_after is not None:
        retry_after = min(max(retry_after, 0.0), MAX_RETRY_AFTER)
    return kind(status.message[:MAX_MESSAGE], code=code, retry_after=retry_after)
