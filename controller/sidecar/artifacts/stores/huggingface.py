"""Repositories on the Hugging Face Hub or a mirror with the same API.

The Hub lists the files of a revision and its commit (https://huggingface.co/docs/hub/api, `blobs=true` for sizes and
checksums). All requests go through `http.py`: to addresses that the egress guard has checked, and with the token for
the Hub alone, which redirects to its storage.
"""

from urllib.parse import quote

import httpx
import msgspec

from controller.sidecar.artifacts.credentials import HfToken
from controller.sidecar.artifacts.stores import FileList, RemoteFile, Sink, file_list, is_needed
from controller.sidecar.artifacts.stores.http import HttpReader, response_error
from controller.sidecar.artifacts.url import Artifact
from controller.sidecar.errors import Code, SidecarError

_MAX_INFO_BYTES = 16 << 20


class _LargeFile(msgspec.Struct, frozen=True):
    sha256: str


class _Sibling(msgspec.Struct, frozen=True):
    rfilename: str
    size: int | None = None
    lfs: _LargeFile | None = None


class _Model(msgspec.Struct, frozen=True):
    """Answer of the Hub about one revision, as far as it is used."""

    sha: str
    """Its commit."""
    siblings: tuple[_Sibling, ...] = ()
    """Its files."""


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
        folder = f"{self._endpoint}/{self._artifact.place}/resolve/{quote(model.sha, safe='')}"
        files = []
        for sibling in model.siblings:
            path = sibling.rfilename.removeprefix(prefix)
            if not sibling.rfilename.startswith(prefix) or not is_needed(path) or sibling.size is None:
                continue
            checksum = f"sha256:{sibling.lfs.sha256}" if sibling.lfs is not None else ""
            url = f"{folder}/{quote(sibling.rfilename)}"
            files.append(RemoteFile(path=path, size=sibling.size, key=url, checksum=checksum))
        if not files:
            raise SidecarError(Code.ARTIFACT_NOT_FOUND, f"{self._artifact.redacted} has no files of an adapter")
        return file_list(files, version=model.sha)

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
        status, kind = response.status_code, response.headers.get("x-error-code", "")
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
