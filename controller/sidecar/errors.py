"""Errors of the sidecar: code, HTTP status, and whether a retry may succeed.

The operator classifies them by `code` alone. Messages name the artifact, the cause and what to do. They contain no
credentials: URLs are shown without their query, and messages of stores are not passed on.
"""

from enum import Enum
from http import HTTPStatus


class Code(Enum):
    """Code of an error: word in responses, HTTP status, and whether the same request may succeed later."""

    INVALID_REQUEST = ("invalid_request", HTTPStatus.BAD_REQUEST, False)
    REQUEST_TOO_LARGE = ("request_too_large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, False)
    INVALID_NAME = ("invalid_name", HTTPStatus.BAD_REQUEST, False)
    INVALID_URL = ("invalid_url", HTTPStatus.BAD_REQUEST, False)
    STORE_UNSUPPORTED = ("store_unsupported", HTTPStatus.NOT_IMPLEMENTED, False)
    ADDRESS_REFUSED = ("address_refused", HTTPStatus.BAD_REQUEST, False)
    CREDENTIALS_INVALID = ("credentials_invalid", HTTPStatus.BAD_REQUEST, False)
    CREDENTIALS_MISSING = ("credentials_missing", HTTPStatus.UNAUTHORIZED, False)
    ARTIFACT_FORBIDDEN = ("artifact_forbidden", HTTPStatus.FORBIDDEN, False)
    ARTIFACT_NOT_FOUND = ("artifact_not_found", HTTPStatus.NOT_FOUND, False)
    ARTIFACT_CORRUPT = ("artifact_corrupt", HTTPStatus.UNPROCESSABLE_ENTITY, False)
    ARTIFACT_UNSAFE = ("artifact_unsafe", HTTPStatus.UNPROCESSABLE_ENTITY, False)
    ARTIFACT_TOO_LARGE = ("artifact_too_large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, False)
    NAME_TAKEN = ("name_taken", HTTPStatus.CONFLICT, True)
    SUPERSEDED = ("superseded", HTTPStatus.CONFLICT, True)
    """The load was cancelled by an unload of its name."""
    DISK_FULL = ("disk_full", HTTPStatus.INSUFFICIENT_STORAGE, True)
    STORE_UNAVAILABLE = ("store_unavailable", HTTPStatus.SERVICE_UNAVAILABLE, True)
    STORE_TIMEOUT = ("store_timeout", HTTPStatus.GATEWAY_TIMEOUT, True)
    ENGINE_UNAVAILABLE = ("engine_unavailable", HTTPStatus.SERVICE_UNAVAILABLE, True)
    ENGINE_TIMEOUT = ("engine_timeout", HTTPStatus.GATEWAY_TIMEOUT, True)
    ENGINE_REFUSED = ("engine_refused", HTTPStatus.INTERNAL_SERVER_ERROR, False)
    """Status, type and message are those of the engine."""
    INTERNAL = ("internal_error", HTTPStatus.INTERNAL_SERVER_ERROR, True)

    def __init__(self, word: str, status: HTTPStatus, retriable: bool) -> None:
        self.word = word
        self.status = status
        self.retriable = retriable


class SidecarError(Exception):
    """A request failed. The message contains no secrets.

    Attributes:
        code: what happened.
        message: cause and remedy.
        status: HTTP status of the response.
        type: type of the engine's error if the engine refused, else the word of the code.
        retry_after: seconds that the store asked to wait; 0 if it did not.
    """

    def __init__(self, code: Code, message: str, *, status: int = 0, type: str = "", retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or int(code.status)
        self.type = type or ("" if code is Code.ENGINE_REFUSED else code.word)
        self.retry_after = retry_after

    @property
    def retriable(self) -> bool:
        """The same request may succeed later."""
        return self.code.retriable


def missing_extra(store: str, extra: str) -> SidecarError:
    """Return the error for a store whose client library is not installed."""
    return SidecarError(
        Code.STORE_UNSUPPORTED,
        f"{store} needs a library that is not installed: pip install 'lora-twin[{extra}]'",
    )
