"""What an API server answers when it does not do something, as the seam's own errors.

The server says why in a `Status` object; its `reason` decides first, the HTTP status where there is none (a proxy in
between speaks no Kubernetes). Nothing else in the operator looks at either.
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
)

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
_LONGEST_TEXT = 300
"""Characters that are shown of an answer that is no Status."""


class _Details(msgspec.Struct, rename="camel"):
    retry_after_seconds: float = 0.0


class Status(msgspec.Struct):
    """`metav1.Status`, as far as it says what went wrong."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: _Details | None = None


_STATUS = msgspec.json.Decoder(Status)


def refusal(code: int, body: bytes, retry_after: float | None = None) -> ClientError:
    """The error for an answer with that HTTP status. `retry_after` is from its header, if it has one."""
    try:
        status = _STATUS.decode(body)
    except msgspec.DecodeError:
        status = Status()
    if not status.message:
        text = body[:_LONGEST_TEXT].decode(errors="replace").strip() or "no reason given"
        status = Status(message=f"the server answered {code}: {text}", reason=status.reason, details=status.details)
    return from_status(status, code, retry_after)


def from_status(status: Status, code: int = 0, retry_after: float | None = None) -> ClientError:
    """The error that a Status means, be it an answer's body or an event of a watch."""
    code = code or status.code
    default = Unavailable if code >= 500 or code == 0 else Invalid
    kind = _BY_REASON.get(status.reason) or _BY_CODE.get(code, default)
    if retry_after is None and status.details is not None and status.details.retry_after_seconds:
        retry_after = status.details.retry_after_seconds
    return kind(status.message, code=code, retry_after=retry_after)
