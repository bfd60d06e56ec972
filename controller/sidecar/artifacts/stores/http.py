"""HTTP store: an archive, a list of files, or a folder with the file names of PEFT.

    https://host/adapter.tar.gz      `.tar`, `.tar.gz`, `.tgz` or `.zip`
    https://host/adapter/files.json  {"files": [{"path": …, "size"?: …, "sha256"?: …}]}, relative to the list
    https://host/adapter/SHA256SUMS  the same in the format of `sha256sum`; `.txt` too
    https://host/adapter/            adapter_config.json and adapter_model.safetensors in that folder

`HttpReader` also reads files of Hugging Face repositories. It follows redirects itself: credentials are not sent to
another host, a redirect from https to http is refused, and each address is checked.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import httpx

from controller.sidecar.artifacts.credentials import Headers
from controller.sidecar.artifacts.stores import (
    MAX_FILES,
    UNKNOWN,
    FileList,
    RemoteFile,
    Sink,
    file_list,
    is_needed,
    shown_name,
)
from controller.sidecar.artifacts.url import Artifact
from controller.sidecar.errors import Code, SidecarError
from formats.retry_after import parse_retry_after

_MAX_REDIRECTS = 5
_MAX_RETRY_AFTER = 60.0  # seconds
_MAX_DIGITS = 18  # of a size in a header
_MAX_LIST_BYTES = 1 << 20
_CHUNK = 1 << 20
_MAX_CONCURRENT = 8  # requests for metadata of files
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)  # seconds; the first is between two chunks
_SUM_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")
_PEFT = ("adapter_config.json", "adapter_model.safetensors")


class HttpReader:
    """Reads ranges over HTTP; sends the headers of the Secret to one origin only."""

    def __init__(
        self, transport: httpx.AsyncBaseTransport, redacted: str, headers: Mapping[str, str], origin: str
    ) -> None:
        self._transport = transport
        self._redacted = redacted
        self._headers = headers
        self.private = bool(headers)
        self._origin = _origin(origin)
        self._probes = asyncio.Semaphore(_MAX_CONCURRENT)

    @asynccontextmanager
    async def send(self, method: str, url: str, headers: Mapping[str, str]) -> AsyncIterator[httpx.Response]:
        """Return the response after redirects, of any status; its body has not been read.

        Raises:
            SidecarError: if there is no response.
        """
        for _ in range(_MAX_REDIRECTS + 1):
            try:
                response = await self._transport.handle_async_request(self._request(method, url, headers))
            except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:  # ValueError: odd hosts and ports
                raise _transport_error(error, self._redacted) from None
            try:
                target = response.headers.get("location", "") if response.is_redirect else ""
                if not target:
                    yield response
                    return
            except (httpx.HTTPError, httpx.StreamError) as error:
                raise _transport_error(error, self._redacted) from None
            finally:
                await response.aclose()
            url = _redirect(url, target, self._redacted)
        raise SidecarError(Code.INVALID_URL, f"{self._redacted} has more than {_MAX_REDIRECTS} redirects")

    def _request(self, method: str, url: str, headers: Mapping[str, str]) -> httpx.Request:
        secret = self._headers if _origin(url) == self._origin else {}
        sent = {"accept-encoding": "identity", "user-agent": "lora-runtime", **headers, **secret}
        return httpx.Request(method, url, headers=sent, extensions={"timeout": _TIMEOUT.as_dict()})

    async def read(self, url: str, file: RemoteFile, start: int, end: int, sink: Sink) -> None:
        """Pass a range of a file to `sink`."""
        headers = {}
        if start or end not in (UNKNOWN, file.size):
            headers["range"] = f"bytes={start}-{'' if end == UNKNOWN else end - 1}"
            if file.tag:
                headers["if-range"] = file.tag
        async with self.send("GET", url, headers) as response:
            skip = self._skipped(response, file, start)
            left = -1 if end == UNKNOWN else end - start
            async for chunk in _ranged(response, skip, left):
                await asyncio.to_thread(sink, chunk)

    async def probe(self, url: str, name: str) -> RemoteFile:
        """Return size and tag of the file at a URL. Signed URLs often allow GET only, so HEAD is not used."""
        async with self._probes, self.send("GET", url, {"range": "bytes=0-0"}) as response:
            if response.status_code == 416:  # an empty file
                return RemoteFile(path=name, size=0, key=url)
            if response.status_code not in (200, 206):
                raise response_error(response, self._redacted, self.private)
            tag = response.headers.get("etag", "")
            return RemoteFile(path=name, size=_full_size(response), key=url, tag="" if tag.startswith("W/") else tag)

    async def text(self, response: httpx.Response, limit: int) -> bytes:
        """Return the body of a response that lists files.

        Raises:
            SidecarError: if it has more than `limit` bytes.
        """
        text = b""
        async for chunk in response.aiter_raw():
            text += chunk
            if len(text) > limit:
                raise SidecarError(Code.ARTIFACT_TOO_LARGE, f"{self._redacted} is too large for a list of files")
        return text

    def _skipped(self, response: httpx.Response, file: RemoteFile, start: int) -> int:
        """Return the number of bytes in the response before the requested ones."""
        if response.status_code == 206:
            content_range = response.headers.get("content-range", "")
            if not content_range.startswith(f"bytes {start}-"):
                raise SidecarError(Code.STORE_UNAVAILABLE, f"{self._redacted} returned another range than requested")
            return 0
        if response.status_code == 200:
            tag = response.headers.get("etag", "")
            if file.tag and tag and tag != file.tag:
                raise SidecarError(Code.STORE_UNAVAILABLE, f"{self._redacted} changed while it was fetched")
            return start
        if response.status_code == 416:
            raise SidecarError(Code.ARTIFACT_CORRUPT, f"{shown_name(file.path)} is shorter than its store states")
        raise response_error(response, self._redacted, self.private)


class HttpStore:
    """Store of one artifact on a web server."""

    def __init__(self, artifact: Artifact, headers: Headers, transport: httpx.AsyncBaseTransport) -> None:
        self._artifact = artifact
        host = urlsplit(artifact.url).hostname or ""
        is_for_host = not headers.host or headers.host in (host, artifact.place)
        self._reader = HttpReader(transport, artifact.redacted, headers.values if is_for_host else {}, artifact.url)

    async def listing(self) -> FileList:
        path = unquote(urlsplit(self._artifact.url).path)
        name = path.rpartition("/")[2]
        if self._artifact.path.lower().endswith((".json", ".txt")) or name.upper() == "SHA256SUMS":
            return file_list(await self._read_list())
        if not name:
            return file_list([await self._reader.probe(urljoin(self._artifact.url, name), name) for name in _PEFT])
        archive = await self._reader.probe(self._artifact.url, "archive")
        listing = file_list([archive])
        return FileList(files=listing.files, version=listing.version, is_archive=True)

    async def read(self, file: RemoteFile, start: int, end: int, sink: Sink) -> None:
        await self._reader.read(file.key, file, start, end, sink)

    async def close(self) -> None:
        """Do nothing: the transport is shared."""

    async def _read_list(self) -> list[RemoteFile]:
        redacted = self._artifact.redacted
        text = await self._text()
        try:
            entries = _from_json(text) if text.lstrip()[:1] == b"{" else _from_sums(text)
        except (ValueError, TypeError, KeyError, RecursionError):
            raise SidecarError(Code.ARTIFACT_CORRUPT, f"{redacted} is not a list of files") from None
        if not 0 < len(entries) <= MAX_FILES:
            raise SidecarError(
                Code.ARTIFACT_CORRUPT, f"{redacted} lists {len(entries)} files, allowed are 1 to {MAX_FILES}"
            )
        if not all(_is_relative(path) for path, _, _ in entries):
            raise SidecarError(Code.ARTIFACT_UNSAFE, f"{redacted} lists a file with an unsafe name")
        return await all_files([self._probe_listed(*entry) for entry in entries if is_needed(entry[0])])

    async def _probe_listed(self, path: str, size: int | None, digest: str) -> RemoteFile:
        url = urljoin(self._artifact.url, path.replace("%", "%25").replace("?", "%3F").replace("#", "%23"))
        file = await self._reader.probe(url, path)
        if size is not None and file.size not in (UNKNOWN, size):
            message = f"{shown_name(path)} has {file.size} bytes, the list of files states {size}"
            raise SidecarError(Code.ARTIFACT_CORRUPT, message)
        return replace(file, checksum=f"sha256:{digest}" if digest else "")

    async def _text(self) -> bytes:
        async with self._reader.send("GET", self._artifact.url, {}) as response:
            if response.status_code != 200:
                raise response_error(response, self._artifact.redacted, self._reader.private)
            return await self._reader.text(response, _MAX_LIST_BYTES)


async def all_files(calls: list[Coroutine[Any, Any, RemoteFile]]) -> list[RemoteFile]:
    """Return the results; the first error ends the other calls, and is raised when their connections are closed."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def response_error(response: httpx.Response, redacted: str, had_credentials: bool) -> SidecarError:
    """Return the error for an unexpected response of a store."""
    status = response.status_code
    if status in (401, 403):
        if had_credentials:
            return SidecarError(Code.ARTIFACT_FORBIDDEN, f"{redacted}: the store rejects the credentials ({status})")
        return SidecarError(
            Code.CREDENTIALS_MISSING, f"{redacted}: the store requires credentials ({status}): see credentialsSecretRef"
        )
    if status in (404, 410):
        return SidecarError(Code.ARTIFACT_NOT_FOUND, f"{redacted} was not found ({status})")
    if status in (408, 425, 429) or status >= 500:
        headers = response.headers
        after = parse_retry_after(headers.get("retry-after", ""), headers.get("date", "")) or 0.0
        seconds = min(after, _MAX_RETRY_AFTER)
        return SidecarError(Code.STORE_UNAVAILABLE, f"{redacted}: the store responds {status}", retry_after=seconds)
    return SidecarError(Code.ARTIFACT_FORBIDDEN, f"{redacted}: the store responds {status}")


def _transport_error(error: Exception, redacted: str) -> SidecarError:
    """Return the error for a failed request."""
    if isinstance(error, httpx.TimeoutException):
        return SidecarError(Code.STORE_TIMEOUT, f"{redacted}: the store does not respond in time")
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.InvalidURL, ValueError)):
        return SidecarError(Code.INVALID_URL, f"{redacted} leads to a URL that is not http(s)")
    return SidecarError(Code.STORE_UNAVAILABLE, f"{redacted}: no connection to the store ({type(error).__name__})")


async def _ranged(response: httpx.Response, skip: int, left: int) -> AsyncIterator[bytes]:
    """Yield the body without its first `skip` bytes, up to `left` bytes (all if negative), in larger chunks.

    Ends early if the response does.
    """
    pending, failure = bytearray(), None
    chunks = response.aiter_raw()
    while left:
        try:
            chunk = await anext(chunks, b"")
        except httpx.HTTPError as error:
            chunk, failure = b"", error
        kept = chunk[skip:] if left < 0 else chunk[skip : skip + left]
        skip, left = max(skip - len(chunk), 0), left - len(kept) if left > 0 else left
        pending += kept
        if len(pending) >= _CHUNK or (pending and (not chunk or not left)):
            yield bytes(pending)
            pending.clear()
        if not chunk:
            break
    if failure is not None and (left < 0 or not isinstance(failure, httpx.RemoteProtocolError)):
        raise failure  # without a known length a truncated body would go unnoticed


def _full_size(response: httpx.Response) -> int:
    if response.status_code == 206:
        total = response.headers.get("content-range", "").rpartition("/")[2]
    else:
        total = response.headers.get("content-length", "")
    return int(total) if total.isascii() and total.isdecimal() and len(total) <= _MAX_DIGITS else UNKNOWN


def _is_relative(path: str) -> bool:
    """Return whether a listed path is one below the list's own folder, without characters that no file name has."""
    is_text = path.isascii() or not any("\ud800" <= character <= "\udfff" for character in path)
    is_below = ".." not in path.split("/") and not path.startswith("/") and "://" not in path and "\\" not in path
    return is_text and is_below and not any(ord(character) < 32 or ord(character) == 127 for character in path)


def _from_json(text: bytes) -> list[tuple[str, int | None, str]]:
    files = []
    for entry in json.loads(text)["files"]:
        if isinstance(entry, str):
            entry = {"path": entry}
        path, size, digest = entry["path"], entry.get("size"), entry.get("sha256", "")
        if not isinstance(path, str) or not (size is None or (type(size) is int and size >= 0)):
            raise TypeError
        if digest and not re.fullmatch("[0-9a-fA-F]{64}", digest):
            raise ValueError
        files.append((path, size, digest))
    return files


def _from_sums(text: bytes) -> list[tuple[str, int | None, str]]:
    files: list[tuple[str, int | None, str]] = []
    for line in text.decode().splitlines():
        match = _SUM_LINE.fullmatch(line)
        if match:
            files.append((match[2].removeprefix("./"), None, match[1]))
        elif line.strip():
            files.append((line.strip(), None, ""))
    return files


def _redirect(url: str, target: str, redacted: str) -> str:
    try:
        parts = urlsplit(urljoin(url, target))
        if parts.scheme not in ("http", "https") or parts.username is not None:
            raise ValueError
    except ValueError:
        raise SidecarError(Code.INVALID_URL, f"{redacted} leads to a URL that is not http(s)") from None
    if url.startswith("https:") and parts.scheme == "http":
        raise SidecarError(Code.INVALID_URL, f"{redacted} redirects from https to http")
    return urlunsplit(parts._replace(fragment=""))


def _origin(url: str) -> tuple[Any, ...]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
