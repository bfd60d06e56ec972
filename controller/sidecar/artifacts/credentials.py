"""Keys for a store: read out of what a request brings, or out of the Secret mounted beside the sidecar.

A request's credentials and the mounted ones are never mixed, and where they may go (an endpoint, a host) is said
by the same Secret and nothing else: whoever can name a Secret in a ModelAdapter, but not read it, must not be able
to have it sent elsewhere. They are held for one request; `repr` shows none of them.
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
_NOT_FOR_USERS = frozenset({"host", "range", "if-range", "accept-encoding", "content-length", "transfer-encoding"})
_LARGEST_FILE = 1 << 20
_SALT = os.urandom(16)
"""So that a fingerprint says nothing outside this process."""


@dataclass(frozen=True, slots=True)
class S3Credentials:
    """For S3 and for what speaks its protocol. All empty: the bucket is public."""

    access: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    session: str = field(default="", repr=False)
    region: str = ""
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class GcsCredentials:
    info: Mapping[str, Any] | None = field(default=None, repr=False)
    """A service account's key; None: the bucket is public."""
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class HfToken:
    token: str = field(default="", repr=False)
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class Headers:
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    host: str = ""
    """The only host that they are for; empty: that of the artifact's URL."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A Secret's keys as they came; names are compared without case."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    mounted: bool = False
    """Whether they are the sidecar's own rather than the request's."""

    @property
    def fingerprint(self) -> str:
        """Equal for equal credentials within this process; of no use outside it."""
        text = json.dumps(sorted(self.values.items()))
        return sha256(_SALT + text.encode()).hexdigest() if self.values else ""

    def aws(self) -> S3Credentials:
        keys = S3Credentials(
            access=self._one("aws_access_key_id"),
            secret=self._one("aws_secret_access_key"),
            session=self._one("aws_session_token"),
            region=self._one("aws_region", "region"),
            endpoint=self._one("aws_endpoint_url", "endpoint"),
        )
        return self._whole(keys, "aws_access_key_id and aws_secret_access_key")

    def tos(self) -> S3Credentials:
        keys = S3Credentials(
            access=self._one("tos_access_key"),
            secret=self._one("tos_secret_key"),
            session=self._one("tos_session_key"),
            region=self._one("tos_region", "region"),
            endpoint=self._one("tos_endpoint", "endpoint"),
        )
        return self._whole(keys, "TOS_ACCESS_KEY and TOS_SECRET_KEY")

    def google(self) -> GcsCredentials:
        text = self._one("gcp_service_account_json")
        endpoint = self._one("endpoint")
        if not text:
            self._nothing_else("gcp_service_account_json")
            return GcsCredentials(endpoint=endpoint)
        info = _json_object(text, "gcp_service_account_json")
        absent = [key for key in ("client_email", "private_key", "token_uri") if not isinstance(info.get(key), str)]
        if info.get("type") != "service_account" or absent:
            raise _invalid("gcp_service_account_json is no service account's key file: take it as Google gives it")
        return GcsCredentials(info=info, endpoint=endpoint)

    def hub(self) -> HfToken:
        token = self._one("huggingface_token", "hf_token", "token")
        if not token:
            self._nothing_else("huggingface_token")
        if not token.isascii() or not token.isprintable():
            raise _invalid("huggingface_token holds characters that no token has")
        return HfToken(token=token, endpoint=self._one("endpoint"))

    def headers(self) -> Headers:
        text, host = self._one("headers"), self._one("host").lower()
        if not text:
            self._nothing_else("headers")
            return Headers()
        if self.mounted and not host:
            raise _invalid("mounted `headers` need a key `host` beside them: the only host that they are for")
        return Headers(values=_headers(text), host=host)

    def _one(self, *names: str) -> str:
        lowered = {name.lower(): value for name, value in self.values.items()}
        return next((lowered[name].strip() for name in names if lowered.get(name, "").strip()), "")

    def _whole(self, keys: S3Credentials, names: str) -> S3Credentials:
        if not keys.access and not keys.secret:
            self._nothing_else(names)
        elif not keys.access or not keys.secret:
            raise _invalid(f"of {names} one is missing")
        if not all(text.isascii() and text.isprintable() for text in (keys.access, keys.secret, keys.session)):
            raise _invalid(f"{names} hold characters that no key has")
        return keys

    def _nothing_else(self, names: str) -> None:
        """A request's Secret without the keys of its store is a mistake; a mounted one may be for another store."""
        places = {"region", "endpoint", "aws_region", "aws_endpoint_url", "tos_region", "tos_endpoint", "host"}
        others = sorted(name for name in self.values if name.lower() not in places)
        if others and not self.mounted:
            shown = ", ".join(repr(name[:40]) for name in others[:5])
            raise _invalid(f"this store's credentials are {names}; the Secret has {shown}")


def mounted(folder: Path) -> Credentials:
    """The Secret mounted at `folder`, one file a key; none if there is no such folder."""
    values = {}
    try:
        for path in sorted(folder.iterdir()):
            if path.name.startswith("..") or not path.is_file() or path.stat().st_size > _LARGEST_FILE:
                continue
            values[path.name] = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return Credentials(mounted=True)
    return Credentials(values=values, mounted=True)


def _headers(text: str) -> dict[str, str]:
    found = _json_object(text, "headers")
    for name, value in found.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _NOT_FOR_USERS:
            raise _invalid(f"`headers` holds a name that cannot be sent: {name[:40]!r}")
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise _invalid(f"`headers` holds a value that cannot be sent, for {name[:40]!r}")
    return found


def _json_object(text: str, key: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise _invalid(f"{key} is not valid JSON") from None
    if not isinstance(found, dict):
        raise _invalid(f"{key} is a JSON object")
    return found


def _invalid(message: str) -> SidecarError:
    return SidecarError(Code.CREDENTIALS_INVALID, message)
