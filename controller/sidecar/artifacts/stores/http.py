"""Plain HTTP: an archive, a list of files, or a folder with PEFT's usual file names.

    https://host/adapter.tar.gz      `.tar`, `.tar.gz`, `.tgz` or `.zip`
    https://host/adapter/files.json  {"files": [{"path": …, "size"?: …, "sha256"?: …}]}, relative to the list
    https://host/adapter/SHA256SUMS  the same as `sha256sum` writes it; `.txt` too
    https://host/adapter/            adapter_config.json and adapter_model.safetensors in that folder

`Reader` is also how files of a Hugging Face repository are read. Redirects are followed here and not by httpx: to
another host they take no credentials along, from https they never lead to http, and each address is checked.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import httpx

from controller.sidecar.artifacts.credentials import Headers
from controller.sidecar.artifacts.stores import MOST_FILES, UNKNOWN, FileList, RemoteFile, Sink, listing_of, wanted
from controller.sidecar.artifacts.url import Artifact
from controller.sidecar.errors import Code, SidecarError

_REDIRECTS = 5
_LARGEST_LIST = 1 << 20
_CHUNK = 1 << 20
_AT_ONCE = 8  # requests for what is known of files
_TIMES = httpx.Timeout(30.0, connect=10.0)  # seconds; the first is between two pieces of an answer
_SUM_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")
_PEFT = ("adapter_config.json", "adapter_model.safetensors")


class Reader:
    """Reads ranges by HTTP, with headers that go to one origin only."""

    def __init__(
        self, transport: httpx.AsyncBaseTransport, shown: str, headers: Mapping[str, str], origin: str
    ) -> None:
        self._transport = transport
        self._shown = shown
        self._headers = headers
        self.private = bool(headers)
        self._origin = _origin(origin)

    @asynccontextmanager
    async def ask(self, method: str, url: str, headers: Mapping[str, str]) -> AsyncIterator[httpx.Response]:
        """The answer after redirects, whatever its status; its body is still to be read.

        Raises:
            SidecarError: there is none.
        """
        for _ in range(_REDIRECTS + 1):
            own = self._headers if _origin(url) == self._origin else {}
            asked = {"accept-encoding": "identity", "user-agent": "lora-runtime", **headers, **own}
            request = httpx.Request(method, url, headers=asked, extensions={"timeout": _TIMES.as_dict()})
            try:
                response = await self._transport.handle_async_request(request)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise _broken(error, self._shown) from None
            try:
                target = response.headers.get("location", "") if response.is_redirect else ""
                if not target:
                    yield response
                    return
            except (httpx.HTTPError, httpx.StreamError) as error:
                raise _broken(error, self._shown) from None
            finally:
                await response.aclose()
            url = _redirected(url, target, self._shown)
        raise SidecarError(Code.INVALID_URL, f"{self._shown} leads through more than {_REDIRECTS} redirects")

    async def read(self, url: str, file: RemoteFile, start: int, end: int, sink: Sink) -> None:
        headers = {}
        if start or end not in (UNKNOWN, file.size):
            headers["range"] = f"bytes={start}-{'' if end == UNKNOWN else end - 1}"
            if file.tag:
                headers["if-range"] = file.tag
        async with self.ask("GET", url, headers) as response:
            skip = self._skipped(response, file, start)
            left = -1 if end == UNKNOWN else end - start
            async for chunk in _ranged(response, skip, left):
                await asyncio.to_thread(sink, chunk)

    def _skipped(self, response: httpx.Response, file: RemoteFile, start: int) -> int:
        """How many bytes of the answer come before those that were asked for."""
        if response.status_code == 206:
            given = response.headers.get("content-range", "")
            if not given.startswith(f"bytes {start}-"):
                raise SidecarError(Code.STORE_UNAVAILABLE, f"{self._shown} answered another range than was asked for")
            return 0
        if response.status_code == 200:
            tag = response.headers.get("etag", "")
            if file.tag and tag and tag != file.tag:
                raise SidecarError(Code.STORE_UNAVAILABLE, f"{self._shown} has changed while it was fetched")
            return start
        if response.status_code == 416:
            raise SidecarError(Code.ARTIFACT_CORRUPT, f"{file.path} is shorter than its store says")
        raise refused(response, self._shown, self.private)


class HttpStore:
    """One artifact on a web server."""

    def __init__(self, artifact: Artifact, headers: Headers, transport: httpx.AsyncBaseTransport) -> None:
        self._artifact = artifact
        host = urlsplit(artifact.url).hostname or ""
        meant = not headers.host or headers.host in (host, artifact.place)
        self._reader = Reader(transport, artifact.shown, headers.values if meant else {}, artifact.url)

    async def listing(self) -> FileList:
        path = unquote(urlsplit(self._artifact.url).path)
        name = path.rpartition("/")[2]
        if self._artifact.path.lower().endswith((".json", ".txt")) or name.upper() == "SHA256SUMS":
            return listing_of(await self._listed())
        if not name:
            return listing_of([await self._looked_at(urljoin(self._artifact.url, name), name) for name in _PEFT])
        archive = await self._looked_at(self._artifact.url, "archive")
        listing = listing_of([archive])
        return FileList(files=listing.files, version=listing.version, is_archive=True)

    async def read(self, file: RemoteFile, start: int, end: int, sink: Sink) -> None:
        await self._reader.read(file.key, file, start, end, sink)

    async def close(self) -> None:
        """Nothing is held: the transport is everybody's."""

    async def _looked_at(self, url: str, name: str) -> RemoteFile:
        """A file of which nothing is known but its URL. Signed URLs are often for GET alone, so HEAD is not used."""
        async with self._reader.ask("GET", url, {"range": "bytes=0-0"}) as response:
            if response.status_code == 416:  # an empty file
                return RemoteFile(path=name, size=0, key=url)
            if response.status_code not in (200, 206):
                raise refused(response, self._artifact.shown, self._reader.private)
            tag = response.headers.get("etag", "")
            return RemoteFile(path=name, size=_full_size(response), key=url, tag="" if tag.startswith("W/") else tag)

    async def _listed(self) -> list[RemoteFile]:
        shown = self._artifact.shown
        text = await self._text()
        try:
            named = _from_json(text) if text.lstrip()[:1] == b"{" else _from_sums(text)
        except (ValueError, TypeError, KeyError, RecursionError):
            raise SidecarError(Code.ARTIFACT_CORRUPT, f"{shown} is no list of files") from None
        if not 0 < len(named) <= MOST_FILES:
            raise SidecarError(
                Code.ARTIFACT_CORRUPT, f"{shown} lists {len(named)} files; 1 to {MOST_FILES} are allowed"
            )
        for path, _, _ in named:
            if ".." in path.split("/") or path.startswith("/") or "://" in path:
                raise SidecarError(Code.ARTIFACT_UNSAFE, f"{shown} lists a file with an unsafe name: {path[:80]!r}")
        asked = asyncio.Semaphore(_AT_ONCE)
        return await asyncio.gather(*(self._listed_file(*one, asked) for one in named if wanted(one[0])))

    async def _listed_file(self, path: str, size: int | None, digest: str, asked: asyncio.Semaphore) -> RemoteFile:
        url = urljoin(self._artifact.url, path.replace("%", "%25").replace("?", "%3F").replace("#", "%23"))
        async with asked:
            found = await self._looked_at(url, path)
        if size is not None and found.size not in (UNKNOWN, size):
            raise SidecarError(Code.ARTIFACT_CORRUPT, f"{path} has {found.size} bytes, the list of files says {size}")
        return replace(found, checksum=f"sha256:{digest}" if digest else "")

    async def _text(self) -> bytes:
        async with self._reader.ask("GET", self._artifact.url, {}) as response:
            if response.status_code != 200:
                raise refused(response, self._artifact.shown, self._reader.private)
            text = b""
            async for chunk in response.aiter_raw():
                text += chunk
                if len(text) > _LARGEST_LIST:
                    raise SidecarError(
                        Code.ARTIFACT_TOO_LARGE, f"{self._artifact.shown} is too long for a list of files"
                    )
            return text


def refused(response: httpx.Response, shown: str, had_credentials: bool) -> SidecarError:
    """What a store's answer means that is not what was asked for."""
    status = response.status_code
    if status in (401, 403):
        if had_credentials:
            return SidecarError(Code.ARTIFACT_FORBIDDEN, f"{shown}: the store refuses the credentials ({status})")
        return SidecarError(
            Code.CREDENTIALS_MISSING, f"{shown}: the store wants credentials ({status}): see credentialsSecretRef"
        )
    if status in (404, 410):
        return SidecarError(Code.ARTIFACT_NOT_FOUND, f"{shown} was not found ({status})")
    if status in (408, 425, 429) or status >= 500:
        after = response.headers.get("retry-after", "")
        seconds = min(float(after), 60.0) if after.isdecimal() else 0.0
        return SidecarError(Code.STORE_UNAVAILABLE, f"{shown}: the store answers {status}", retry_after=seconds)
    return SidecarError(Code.ARTIFACT_FORBIDDEN, f"{shown}: the store answers {status}")


def _broken(error: Exception, shown: str) -> SidecarError:
    """What a failed exchange means."""
    if isinstance(error, httpx.TimeoutException):
        return SidecarError(Code.STORE_TIMEOUT, f"{shown}: the store does not answer in time")
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.InvalidURL)):
        return SidecarError(Code.INVALID_URL, f"{shown} leads to what is no http(s) URL")
    return SidecarError(Code.STORE_UNAVAILABLE, f"{shown}: no connection to the store ({type(error).__name__})")


async def _ranged(response: httpx.Response, skip: int, left: int) -> AsyncIterator[bytes]:
    """The answer without its first `skip` bytes and up to `left` (all if negative), in larger pieces.

    Ends early if the answer does, with all that came.
    """
    pending, broken = bytearray(), None
    pieces = response.aiter_raw()
    while left:
        try:
            chunk = await anext(pieces, b"")
        except httpx.HTTPError as error:
            chunk, broken = b"", error
        kept = chunk[skip:] if left < 0 else chunk[skip : skip + left]
        skip, left = max(skip - len(chunk), 0), left - len(kept) if left > 0 else left
        pending += kept
        if len(pending) >= _CHUNK or (pending and (not chunk or not left)):
            yield bytes(pending)
            pending.clear()
        if not chunk:
            break
    if broken is not None and (left < 0 or not isinstance(broken, httpx.RemoteProtocolError)):
        raise broken  # of an answer whose length is not known nobody would notice that the end is missing


def _full_size(response: httpx.Response) -> int:
    if response.status_code == 206:
        total = response.headers.get("content-range", "").rpartition("/")[2]
    else:
        total = response.headers.get("content-length", "")
    return int(total) if total.isdecimal() else UNKNOWN


def _from_json(text: bytes) -> list[tuple[str, int | None, str]]:
    named = []
    for entry in json.loads(text)["files"]:
        if isinstance(entry, str):
            entry = {"path": entry}
        path, size, digest = entry["path"], entry.get("size"), entry.get("sha256", "")
        if not isinstance(path, str) or not (size is None or (type(size) is int and size >= 0)):
            raise TypeError
        if digest and not re.fullmatch("[0-9a-fA-F]{64}", digest):
            raise ValueError
        named.append((path, size, digest))
    return named


def _from_sums(text: bytes) -> list[tuple[str, int | None, str]]:
    named: list[tuple[str, int | None, str]] = []
    for line in text.decode().splitlines():
        found = _SUM_LINE.fullmatch(line)
        if found:
            named.append((found[2].removeprefix("./"), None, found[1]))
        elif line.strip():
            named.append((line.strip(), None, ""))
    return named


def _redirected(url: str, target: str, shown: str) -> str:
    try:
        found = urlsplit(urljoin(url, target))
        if found.scheme not in ("http", "https") or found.username is not None:
            raise ValueError
    except ValueError:
        raise SidecarError(Code.INVALID_URL, f"{shown} leads to what is no http(s) URL") from None
    if url.startswith("https:") and found.scheme == "http":
        raise SidecarError(Code.INVALID_URL, f"{shown} leads from https to http")
    return urlunsplit(found._replace(fragment=""))


def _origin(url: str) -> tuple[Any, ...]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
