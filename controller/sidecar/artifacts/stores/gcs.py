"""Google Cloud Storage, by Google's own client; its calls block, so each runs in a thread.

A bucket is read with the service account's key from the request, or as anybody: the node's own identity is not
used, for a ModelAdapter's author must not act with it.
"""

import asyncio
from base64 import b64decode
from typing import Any

from controller.sidecar.artifacts.credentials import GcsCredentials
from controller.sidecar.artifacts.egress_guard import EgressGuard
from controller.sidecar.artifacts.stores import MOST_FILES, FileList, RemoteFile, Sink, listing_of, wanted
from controller.sidecar.artifacts.url import Artifact
from controller.sidecar.errors import Code, SidecarError, missing_extra

_CHUNK = 4 << 20
_TIMES = (10.0, 30.0)  # seconds to connect, and between two pieces of an answer
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"


class GcsStore:
    """A folder, or an archive, in a bucket."""

    def __init__(self, artifact: Artifact, account: GcsCredentials, guard: EgressGuard, endpoint: str = "") -> None:
        self._artifact = artifact
        self._account = account
        self._guard = guard
        self._endpoint = account.endpoint or endpoint
        self._client: Any = None

    async def listing(self) -> FileList:
        if self._account.endpoint:
            await self._guard.check(self._account.endpoint)
        if self._account.info is not None:
            await self._guard.check(str(self._account.info["token_uri"]))
        return await asyncio.to_thread(self._list)

    async def read(self, file: RemoteFile, start: int, end: int, sink: Sink) -> None:
        await asyncio.to_thread(self._read, file, start, end, sink)

    async def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _list(self) -> FileList:
        self._client = self._client or _client(self._account, self._endpoint)
        key = self._artifact.path
        with _Errors(self._artifact.shown, self._account):
            bucket = self._client.bucket(self._artifact.place)
            if self._artifact.is_archive:
                blob = bucket.get_blob(key, timeout=_TIMES, retry=None)
                if blob is None:
                    raise SidecarError(Code.ARTIFACT_NOT_FOUND, f"{self._artifact.shown} was not found")
                listing = listing_of([_file(blob, "archive")])
                return FileList(files=listing.files, version=listing.version, is_archive=True)
            prefix = key.rstrip("/") + "/"
            blobs = self._client.list_blobs(
                bucket, prefix=prefix, delimiter="/", max_results=4 * MOST_FILES, timeout=_TIMES, retry=None
            )
            files = [_file(blob, blob.name[len(prefix) :]) for blob in blobs if wanted(blob.name[len(prefix) :])]
        if not files:
            raise SidecarError(
                Code.ARTIFACT_NOT_FOUND, f"{self._artifact.shown}: the bucket has no files of an adapter there"
            )
        return listing_of(files)

    def _read(self, file: RemoteFile, start: int, end: int, sink: Sink) -> None:
        if not file.size:
            return
        with _Errors(self._artifact.shown, self._account):
            blob = self._client.bucket(self._artifact.place).blob(file.key, generation=int(file.tag or 0) or None)
            for at in range(start, end, _CHUNK):  # the client hands over ranges as a whole
                stop = min(at + _CHUNK, end) - 1
                sink(blob.download_as_bytes(start=at, end=stop, checksum=None, timeout=_TIMES, retry=None))


def _client(account: GcsCredentials, endpoint: str) -> Any:
    try:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage
        from google.oauth2 import service_account
    except ImportError:
        raise missing_extra("gs://", "gs") from None
    if account.info is None:
        credentials, project = AnonymousCredentials(), "none"
    else:
        project = str(account.info.get("project_id", "none"))
        try:
            credentials = service_account.Credentials.from_service_account_info(account.info, scopes=[_SCOPE])
        except ValueError:
            message = "the private_key in gcp_service_account_json is none"
            raise SidecarError(Code.CREDENTIALS_INVALID, message) from None
    options = {"api_endpoint": endpoint} if endpoint else None
    return storage.Client(project=project, credentials=credentials, client_options=options)


def _file(blob: Any, path: str) -> RemoteFile:
    checksum = ""
    if blob.md5_hash:
        checksum = f"md5:{b64decode(blob.md5_hash).hex()}"
    elif blob.crc32c:  # objects composed of others have no MD5
        checksum = f"crc32c:{b64decode(blob.crc32c).hex()}"
    return RemoteFile(path=path, size=int(blob.size), key=blob.name, tag=str(blob.generation or ""), checksum=checksum)


class _Errors:
    """Maps what Google's libraries raise."""

    def __init__(self, shown: str, account: GcsCredentials) -> None:
        self._shown = shown
        self._private = account.info is not None

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, SidecarError):
            return
        from google.api_core.exceptions import GoogleAPICallError
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.storage.exceptions import InvalidResponse
        from requests.exceptions import RequestException, Timeout

        if isinstance(error, (GoogleAPICallError, InvalidResponse)):
            status = error.code if isinstance(error, GoogleAPICallError) else error.response.status_code
            raise self._answered(int(status or 0)) from None
        if isinstance(error, GoogleAuthError) and not error.retryable:
            raise self._denied() from None
        if isinstance(error, (Timeout, TimeoutError)):
            raise SidecarError(Code.STORE_TIMEOUT, f"{self._shown}: the store does not answer in time") from None
        if isinstance(error, (RequestException, GoogleAuthError, OSError)):
            name = type(error).__name__
            raise SidecarError(Code.STORE_UNAVAILABLE, f"{self._shown}: no connection to the store ({name})") from None

    def _denied(self) -> SidecarError:
        """No token: Google refused the account's key, or there is no account to get one for."""
        if self._private:
            message = f"{self._shown}: Google refuses the service account's key: is it still valid?"
            return SidecarError(Code.ARTIFACT_FORBIDDEN, message)
        return SidecarError(Code.CREDENTIALS_MISSING, f"{self._shown}: it wants an account: see credentialsSecretRef")

    def _answered(self, status: int) -> SidecarError:
        said = f"{self._shown}: the store answers {status}"
        if status == 404:
            return SidecarError(Code.ARTIFACT_NOT_FOUND, said)
        if status in (401, 403):
            if self._private:
                return SidecarError(Code.ARTIFACT_FORBIDDEN, f"{said}: has the account roles/storage.objectViewer?")
            return SidecarError(Code.CREDENTIALS_MISSING, f"{said}: it wants an account: see credentialsSecretRef")
        if status == 416:
            return SidecarError(Code.ARTIFACT_CORRUPT, f"{self._shown}: a file is shorter than its store says")
        if status in (408, 429) or status >= 500:
            return SidecarError(Code.STORE_UNAVAILABLE, said)
        return SidecarError(Code.ARTIFACT_FORBIDDEN, said)
