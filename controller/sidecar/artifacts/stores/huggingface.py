"""Repositories on the Hugging Face Hub or a mirror with the same API.

The Hub lists the files of a revision and its commit (https://huggingface.co/docs/hub/api, `blobs=true` for sizes and
checksums). A mirror may leave these out: a request for one byte of a file then tells its size and ETag, the revision
stands for the commit, and a file without a checksum is not compared with one. All requests go through `http.py`: to
addresses that the egress guard has checked, and with the token for the Hub alone, which redirects to its storage.
"""

from dataclasses import replace
from urllib.parse import quote

import httpx
import msgspec

from controller.sidecar.artifacts.credentials import HfToken
from controller.sidecar.artifacts.stores import UNKNOWN, FileList, RemoteFile, Sink, file_list, is_needed
from controller.sidecar.artifacts.stores.http import HttpReader, all_files, response_error
from controller.sidecar.artifacts.url import Artifact
from controller.sidecar.errors import Code, SidecarError

_MAX_INFO_BYTES = 16 << 20
_MAX_KIND = 100
"""Characters of the hub's own name of an error that are shown."""
_DEFAULT_REVISION = "main"


class _LargeFile(msgspec.Struct, frozen=True):
    sha256: str | None = None
    oid: str | None = None
    """The same checksum, as listings of a folder name it."""
    size: int | None = None


class _Sibling(msgspec.Struct, frozen=True):
    rfilename: str
    size: int | None = None
    lfs: _LargeFile | None = None

    @property
    def known_size(self) -> int:
        """Bytes, or UNKNOWN."""
        size = self.lfs.size if self.size is None and self.lfs is not None else self.size
        return UNKNOWN if size is None else size

    @property
    def checksum(self) -> str:
        """Checksum of a large file; empty if the hub states none."""
        digest = (self.lfs.sha256 or self.lfs.oid or "") if self.lfs is not None else ""
        return f"sha256:{digest.removeprefix('sha256:')}" if digest else ""


class _Model(msgspec.Struct, frozen=True):
    """Answer of the Hub about one revision, as far as it is used."""

    siblings: tuple[_Sibling, ...]
    """Its files."""
    sha: str | None = None
    """Its commit."""


class HuggingFaceStore:
    """Store of a repository, or of a folder in it, at one revision."""

    def __init__(self, artifact: Artifact, token: HfToken, transport: httpx.AsyncBaseTransport, endpoint: str) -> None:
        self._artifact = artifact
        self._has_token = bool(token.token)
        self._endpoint = endpoint.rstrip("/")
        headers = {"authorization": f"Bearer {token.token}"} if token.token else {}
        self._reader = HttpReader(transport, artifact.redacted, headers, self._endpoint)

    async def listing(self) -> FileList:
        model = await self._model()
        prefix = f"{self._artifact.path}/" if self._artifact.path else ""
        commit = model.sha or self._artifact.revision or _DEFAULT_REVISION
        folder = f"{self._endpoint}/{self._artifact.place}/resolve/{quote(commit, safe='')}"
        needed = [
            RemoteFile(path, sibling.known_size, f"{folder}/{quote(sibling.rfilename)}", checksum=sibling.checksum)
            for sibling in model.siblings
            if sibling.rfilename.startswith(prefix) and is_needed(path := sibling.rfilename.removeprefix(prefix))
        ]
        if not needed:
            raise SidecarError(Code.ARTIFACT_NOT_FOUND, f"{self._artifact.redacted} has no files of an adapter")
        file_list(needed)  # refuses too many before they are requested
        files = await all_files([self._completed(file, is_fixed=bool(model.sha)) for file in needed])
        return file_list(files, version=model.sha or "")

    async def _completed(self, file: RemoteFile, *, is_fixed: bool) -> RemoteFile:
        """Return a file with its size, and with an ETag if neither a commit nor a checksum fixes its bytes."""
        if file.size != UNKNOWN and (is_fixed or file.checksum):
            return file
        return replace(await self._reader.probe(file.key, file.path), checksum=file.checksum)

    async def read(self, file: RemoteFile, start: int, end: int, sink: Sink) -> None:
        await self._reader.read(file.key, file, start, end, sink)

    async def close(self) -> None:
        """Do nothing: the transport is shared."""

    async def _model(self) -> _Model:
        redacted, revision = self._artifact.redacted, self._artifact.revision
        suffix = f"/revision/{quote(revision, safe='')}" if revision else ""
        url = f"{self._endpoint}/api/models/{self._artifact.place}{suffix}?blobs=true"
        async with self._reader.send("GET", url, {"accept": "application/json"}) as response:
            if response.status_code != 200:
                raise self._error(response)
            body = await self._reader.text(response, _MAX_INFO_BYTES)
        try:
            return msgspec.json.decode(body, type=_Model)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise SidecarError(
                Code.STORE_UNAVAILABLE, f"{redacted}: the hub's answer is not the description of a repository"
            ) from None

    def _error(self, response: httpx.Response) -> SidecarError:
        status, kind = response.status_code, response.headers.get("x-error-code", "")[:_MAX_KIND]
        if status == 404:
            message = f"{self._artifact.redacted} was not found ({kind or status})"
            return SidecarError(Code.ARTIFACT_NOT_FOUND, message)
        if status not in (401, 403):  # without a token also for repositories that do not exist
            return response_error(response, self._artifact.redacted, self._has_token)
        why = f"the hub responds {status} {kind}".strip()
        if kind == "GatedRepo":
            why = "the repository is gated: accept its terms first"
        if self._has_token:
            return SidecarError(
                Code.ARTIFACT_FORBIDDEN, f"{self._artifact.redacted}: the token is not sufficient: {why}"
            )
        return SidecarError(
            Code.CREDENTIALS_MISSING,
            f"{self._artifact.redacted}: the repository does not exist or requires a huggingface_token: {why}",
        )
