"""Parses artifact URLs.

The identity of an artifact is the digest of its URL, not the name of an adapter: adapters with the same URL share
files, and a changed URL never uses old files. Versions come from the store (`stores.FileList.version`). Parsing is
strict, since parts of the URL become paths and are sent to stores.
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import unquote, urlsplit

from controller.sidecar.errors import Code, SidecarError

MAX_URL_LENGTH = 2048
_SCHEMES = {
    "huggingface": "huggingface",
    "hf": "huggingface",
    "s3": "s3",
    "gs": "gs",
    "gcs": "gs",
    "tos": "tos",
    "http": "http",
    "https": "http",
}
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}")
_REPOSITORY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}")
_ESCAPED = re.compile("%20|%25")
"""Escapes in keys of buckets: a blank, which a URL cannot have, and the percent sign itself."""
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A parsed URL.

    Attributes:
        url: the URL as requested; may have a signed query, use `redacted` in messages.
        store: `huggingface`, `s3`, `gs`, `tos`, `http` or `file`.
        place: bucket, repository or host.
        path: path in it without a leading slash; for `file` the absolute path.
        revision: branch, tag or commit of a repository.
    """

    url: str
    store: str
    place: str
    path: str
    revision: str = ""

    @property
    def digest(self) -> str:
        """Identity of the artifact: the name of its folder in the cache."""
        return digest_of(self.url)

    @property
    def redacted(self) -> str:
        """The URL for messages and logs, without the query, which may be a signature."""
        return self.url.partition("?")[0].partition("#")[0]

    @property
    def is_archive(self) -> bool:
        """The URL names an archive."""
        return self.path.lower().endswith(_ARCHIVES)


def digest_of(url: str) -> str:
    """Return the identity of an artifact; computed from the path that an engine without a sidecar gets."""
    for scheme in ("huggingface://", "hf://"):
        url = url.removeprefix(scheme)
    return sha256(url.encode()).hexdigest()


def parse(url: str) -> Artifact:
    """Return the artifact that a URL names.

    Raises:
        SidecarError: if the URL is not valid or not supported.
    """
    if not url or len(url) > MAX_URL_LENGTH:
        raise _invalid(f"an artifact URL has 1 to {MAX_URL_LENGTH} characters, this one has {len(url)}")
    if any(ord(character) <= 32 or ord(character) == 127 for character in url) or "\\" in url:
        raise _invalid("an artifact URL has no blanks (write %20), control characters or backslashes")
    if not url.isascii() and any("\ud800" <= character <= "\udfff" for character in url):
        raise _invalid("an artifact URL has only whole characters, no half of a surrogate pair")
    if url.startswith("/"):
        return Artifact(url=url, store="file", place="", path=_checked_path(url))
    scheme, separator, rest = url.partition("://")
    store = _SCHEMES.get(scheme.lower())
    if not separator or store is None:
        raise _invalid(
            f"artifact URLs begin with huggingface://, hf://, s3://, gs://, gcs://, tos://, http://, https:// or /, "
            f"not with {url.partition('?')[0][:40]!r}"
        )
    if store == "http":
        return _parse_http(url)
    if store == "huggingface":
        return _parse_huggingface(url, rest)
    return _parse_bucket(url, store, rest)


def _parse_http(url: str) -> Artifact:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _invalid("this is not a valid http(s) URL") from None
    if parts.username is not None or parts.password is not None:
        raise _invalid("put user and password into the Secret (key `headers`), not into the URL")
    if not parts.hostname:
        raise _invalid("this http(s) URL has no host")
    _checked_path(unquote(parts.path))
    place = parts.hostname if port is None else f"{parts.hostname}:{port}"
    return Artifact(url=url, store="http", place=place, path=parts.path.lstrip("/"))


def _parse_huggingface(url: str, rest: str) -> Artifact:
    """`ORG/NAME`, optionally `@REVISION` (its slashes as %2F), optionally a folder in the repository."""
    if "?" in rest or "#" in rest:
        raise _invalid("a huggingface:// URL has no query; a revision is written as huggingface://ORG/NAME@REVISION")
    segments = _checked_path(rest).strip("/").split("/")
    organisation, repository = segments[0], segments[1] if len(segments) > 1 else ""
    repository, at, revision = repository.partition("@")
    revision = unquote(revision)
    if not _REPOSITORY.fullmatch(organisation) or not _REPOSITORY.fullmatch(repository):
        raise _invalid("a huggingface:// URL is huggingface://ORG/NAME, optionally with @REVISION")
    if at and (not _REVISION.fullmatch(revision) or ".." in revision):
        raise _invalid("the revision in this huggingface:// URL is not a branch, tag or commit")
    place = f"{organisation}/{repository}"
    return Artifact(url=url, store="huggingface", place=place, path="/".join(segments[2:]), revision=revision)


def _parse_bucket(url: str, store: str, rest: str) -> Artifact:
    bucket, _, key = rest.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise _invalid(f"{store}:// is followed by a bucket's name, as in {store}://BUCKET/FOLDER/")
    if not key.strip("/"):
        raise _invalid(f"after the bucket a folder or an archive is named, as in {store}://{bucket}/FOLDER/")
    if "?" in key or "#" in key:
        raise _invalid(f"a {store}:// URL has no query")
    key = _ESCAPED.sub(lambda match: unquote(match[0]), key)
    return Artifact(url=url, store=store, place=bucket, path=_checked_path(key))


def _checked_path(path: str) -> str:
    if any(segment in ("..", ".") for segment in path.split("/")):
        raise _invalid("an artifact URL has no `.` or `..` segments")
    return path


def _invalid(message: str) -> SidecarError:
    return SidecarError(Code.INVALID_URL, message)
