"""Repositories on the Hugging Face Hub or a mirror with the same API.

`huggingface_hub` lists the files of a revision and its commit; `http.py` reads them (the Hub redirects to its storage,
which must not receive the token).
"""

import asyncio
from typing import Any
from urllib.parse import quote

import httpx

from controller.sidecar.artifacts.credentials import HfToken
from controller.sidecar.artifacts.stores import FileList, RemoteFile, Sink, file_list, is_needed
from controller.sidecar.artifacts.stores.http import HttpReader
from controller.sidecar.artifacts.url import Artifact
from controller.sidecar.errors import Code, SidecarError, missing_extra

_TIMEOUT = 30.0


class HuggingFaceStore:
    """Store of a repository, or of a folder in it, at one revision."""

    def __init__(self, artifact: Artifact, token: HfToken, transport: httpx.AsyncBaseTransport, endpoint: str) -> None:
        self._artifact = artifact
        self._token = token.token
        self._endpoint = endpoint.rstrip("/")
        headers = {"authorization": f"Bearer {self._token}"} if self._token else {}
        self._reader = HttpReader(transport, artifact.redacted, headers, self._endpoint)

    async def listing(self) -> FileList:
        info = await asyncio.to_thread(self._info)
        prefix = f"{self._artifact.path}/" if self._artifact.path else ""
        files = []
        for sibling in info.siblings or ():
            path = sibling.rfilename.removeprefix(prefix)
            if not sibling.rfilename.startswith(prefix) or not is_needed(path) or sibling.size is None:
                continue
            lfs = sibling.lfs
            url = f"{self._endpoint}/{self._artifact.place}/resolve/{info.sha}/{quote(sibling.rfilename)}"
            checksum = f"sha256:{lfs.sha256}" if lfs is not None else ""
            files.append(RemoteFile(path=path, size=sibling.size, key=url, checksum=checksum))
        if not files:
            raise SidecarError(Code.ARTIFACT_NOT_FOUND, f"{self._artifact.redacted} has no files of an adapter")
        return file_list(files, version=str(info.sha))

    async def read(self, file: RemoteFile, start: int, end: int, sink: Sink) -> None:
        await self._reader.read(file.key, file, start, end, sink)

    async def close(self) -> None:
        """Do nothing: the transport is shared."""

    def _info(self) -> Any:
        try:
            from huggingface_hub import HfApi
            from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError
        except ImportError:
            raise missing_extra("huggingface://", "huggingface") from None
        api = HfApi(endpoint=self._endpoint, token=self._token or False)
        redacted = self._artifact.redacted
        try:
            return api.model_info(
                self._artifact.place,
                revision=self._artifact.revision or None,
                files_metadata=True,
                timeout=_TIMEOUT,
            )
        except GatedRepoError:
            raise self._denied("the repository is gated: accept its terms first") from None
        except HFValidationError:
            raise SidecarError(Code.INVALID_URL, f"{redacted} is not a name of a repository") from None
        except HfHubHTTPError as error:
            raise self._response_error(error.response) from None
        except Exception as error:  # of the HTTP library, which depends on the version of huggingface_hub
            if "timeout" in type(error).__name__.lower():
                raise SidecarError(Code.STORE_TIMEOUT, f"{redacted}: the hub does not respond in time") from None
            raise SidecarError(
                Code.STORE_UNAVAILABLE, f"{redacted}: no response from the hub ({type(error).__name__})"
            ) from None

    def _response_error(self, response: Any) -> SidecarError:
        status, redacted = response.status_code, self._artifact.redacted
        kind = response.headers.get("x-error-code", "")
        if status in (401, 403):  # without a token also for repositories that do not exist
            return self._denied(f"the hub responds {status} {kind}".strip())
        if status == 404:
            return SidecarError(Code.ARTIFACT_NOT_FOUND, f"{redacted} was not found ({kind or status})")
        if status == 429 or status >= 500:
            return SidecarError(Code.STORE_UNAVAILABLE, f"{redacted}: the hub responds {status}")
        return SidecarError(Code.ARTIFACT_FORBIDDEN, f"{redacted}: the hub responds {status}")

    def _denied(self, why: str) -> SidecarError:
        if self._token:
            return SidecarError(
                Code.ARTIFACT_FORBIDDEN, f"{self._artifact.redacted}: the token is not sufficient: {why}"
            )
        return SidecarError(
            Code.CREDENTIALS_MISSING,
            f"{self._artifact.redacted}: the repository does not exist or requires a huggingface_token: {why}",
        )
