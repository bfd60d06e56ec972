"""Credentials of a store, from a request or from the Secret mounted in the sidecar.

They are never mixed, and only the Secret itself determines where its values are sent (endpoint, host): the author of a
ModelAdapter, who can name a Secret but not read it, must not be able to send it elsewhere. Credentials are kept for one
request; `repr` does not show them.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from controller.sidecar.errors import Code, SidecarError

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_RESERVED_HEADERS = frozenset({"host", "range", "if-range", "accept-encoding", "content-length", "transfer-encoding"})
_MAX_FILE_BYTES = 1 << 20
_SALT = os.urandom(16)
"""Makes fingerprints meaningless outside this process."""


@dataclass(frozen=True, slots=True)
class S3Credentials:
    """Credentials of S3 and compatible stores; all empty for a public bucket."""

    access: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    session: str = field(default="", repr=False)
    region: str = ""
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class GcsCredentials:
    """Credentials of Google Cloud Storage; `info` is the key of a service account, None for a public bucket."""

    info: Mapping[str, Any] | None = field(default=None, repr=False)
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class HfToken:
    """Token of the Hugging Face Hub; empty for a public repository."""

    token: str = field(default="", repr=False)
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class Headers:
    """Headers of an HTTP store, sent to `host` only; if it is empty, to the host of the artifact's URL."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    host: str = ""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Data of a Secret; keys are case-insensitive.

    Attributes:
        values: values by key.
        mounted: the Secret is mounted in the sidecar, not sent with the request.
    """

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    mounted: bool = False

    @property
    def fingerprint(self) -> str:
        """Hash that is equal for equal credentials within this process; empty without credentials."""
        text = json.dumps(sorted(self.values.items()))
        return sha256(_SALT + text.encode()).hexdigest() if self.values else ""

    def aws(self) -> S3Credentials:
        """Return the credentials for S3. Raises `SidecarError` if they are not valid, as all of these do."""
        keys = S3Credentials(
            access=self._get("aws_access_key_id"),
            secret=self._get("aws_secret_access_key"),
            session=self._get("aws_session_token"),
            region=self._get("aws_region", "region"),
            endpoint=self._get("aws_endpoint_url", "endpoint"),
        )
        return self._check_complete(keys, "aws_access_key_id and aws_secret_access_key")

    def tos(self) -> S3Credentials:
        """Return the credentials for TOS."""
        keys = S3Credentials(
            access=self._get("tos_access_key"),
            secret=self._get("tos_secret_key"),
            session=self._get("tos_session_key"),
            region=self._get("tos_region", "region"),
            endpoint=self._get("tos_endpoint", "endpoint"),
        )
        return self._check_complete(keys, "TOS_ACCESS_KEY and TOS_SECRET_KEY")

    def google(self) -> GcsCredentials:
        """Return the credentials for Google Cloud Storage."""
        text = self._get("gcp_service_account_json")
        endpoint = self._get("endpoint")
        if not text:
            self._check_no_other_keys("gcp_service_account_json")
            return GcsCredentials(endpoint=endpoint)
        info = _json_object(text, "gcp_service_account_json")
        missing = [key for key in ("client_email", "private_key", "token_uri") if not isinstance(info.get(key), str)]
        if info.get("type") != "service_account" or missing:
            raise _invalid("gcp_service_account_json is not the key file of a service account")
        return GcsCredentials(info=info, endpoint=endpoint)

    def hub(self) -> HfToken:
        """Return the token for the Hugging Face Hub."""
        token = self._get("huggingface_token", "hf_token", "token")
        if not token:
            self._check_no_other_keys("huggingface_token")
        if not token.isascii() or not token.isprintable():
            raise _invalid("huggingface_token has characters that are not allowed in a token")
        return HfToken(token=token, endpoint=self._get("endpoint"))

    def headers(self) -> Headers:
        """Return the headers for an HTTP store."""
        text, host = self._get("headers"), self._get("host").lower()
        if not text:
            self._check_no_other_keys("headers")
            return Headers()
        if self.mounted and not host:
            raise _invalid(
                "a mounted Secret with the key `headers` needs the key `host`: the only host that they are sent to"
            )
        return Headers(values=_headers(text), host=host)

    def _get(self, *names: str) -> str:
        lowered = {name.lower(): value for name, value in self.values.items()}
        return next((lowered[name].strip() for name in names if lowered.get(name, "").strip()), "")

    def _check_complete(self, keys: S3Credentials, names: str) -> S3Credentials:
        if not keys.access and not keys.secret:
            self._check_no_other_keys(names)
        elif not keys.access or not keys.secret:
            raise _invalid(f"{names} are both required")
        if not all(text.isascii() and text.isprintable() for text in (keys.access, keys.secret, keys.session)):
            raise _invalid(f"{names} have characters that are not allowed in keys")
        return keys

    def _check_no_other_keys(self, names: str) -> None:
        """Refuse a request's Secret that has keys of another store; a mounted one may be for several stores."""
        settings = {"region", "endpoint", "aws_region", "aws_endpoint_url", "tos_region", "tos_endpoint", "host"}
        others = any(name.lower() not in settings for name in self.values)
        if others and not self.mounted:
            raise _invalid(f"this store's credentials are {names}; the Secret has other keys")


def mounted(folder: Path) -> Credentials:
    """Return the Secret mounted at `folder`, one file per key; without values if the folder does not exist."""
    values = {}
    try:
        for path in sorted(folder.iterdir()):
            if path.name.startswith("..") or not path.is_file() or path.stat().st_size > _MAX_FILE_BYTES:
                continue
            values[path.name] = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return Credentials(mounted=True)
    return Credentials(values=values, mounted=True)


def _headers(text: str) -> dict[str, str]:
    headers = _json_object(text, "headers")
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _RESERVED_HEADERS:
            raise _invalid("`headers` has a name that cannot be sent")
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise _invalid("`headers` has a value that cannot be sent")
    return headers


def _json_object(text: str, key: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise _invalid(f"{key} is not valid JSON") from None
    if not isinstance(value, dict):
        raise _invalid(f"{key} must be a JSON object")
    return value


def _invalid(message: str) -> SidecarError:
    return SidecarError(Code.CREDENTIALS_INVALID, message)
