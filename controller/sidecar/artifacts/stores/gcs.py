"""Google Cloud Storage, with Google's client; its calls block, so each runs in a thread.

Only the service account of the request is used, or none: the author of a ModelAdapter must not act with the identity of
the node.
"""

import asyncio
from base64 import b64decode
from itertools import islice
from typing import Any

from controller.sidecar.artifacts.credentials import GcsCredentials
from controller.sidecar.artifacts.egress_guard import EgressGuard
from controller.sidecar.artifacts.pinned_connections import pin_session
from controller.sidecar.artifacts.stores import MAX_FILES, FileList, RemoteFile, Sink, file_list, is_needed, shown_name
from controller.sidecar.artifacts.url import Artifact
from controller.sidecar.errors import Code, SidecarError, missing_extra

_CHUNK = 4 << 20
_TIMEOUT = (10.0, 30.0)  # seconds to connect, and between two chunks
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"


class GcsStore:
    """Store of a folder or an archive in a bucket."""

    def __init__(self, artifact: Artifact, account: GcsCredentials, guard: EgressGuard, endpoint: str = "") -> None:
        self._artifact = artifact
        self._account = account
        self._guard = guard
        self._endpoint = account.endpoint or endpoint
        self._is_configured = bool(endpoint and not account.endpoint)
        """The endpoint is a setting of the sidecar, which may be anywhere."""
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
        self._client = self._client or _client(
            self._account, self._endpoint, None if self._is_configured else self._guard
        )
        key = self._artifact.path
        with _Errors(self._artifact.redacted, self._account):
            bucket = self._client.bucket(self._artifact.place)
            if self._artifact.is_archive:
                blob = bucket.get_blob(key, timeout=_TIMEOUT, retry=None)
                if blob is None:
                    raise SidecarError(Code.ARTIFACT_NOT_FOUND, f"{self._artifact.redacted} was not found")
                listing = file_list([_file(blob, "archive")])
                return FileList(files=listing.files, version=listing.version, is_archive=True)
            prefix = key.rstrip("/") + "/"
            blobs = self._client.list_blobs(bucket, prefix=prefix, delimiter="/", timeout=_TIMEOUT, retry=None)
            needed = (blob for blob in blobs if is_needed(blob.name[len(prefix) :]))
            files = [_file(blob, blob.name[len(prefix) :]) for blob in islice(needed, MAX_FILES + 1)]
        if not files:
            raise SidecarError(
                Code.ARTIFACT_NOT_FOUND, f"{self._artifact.redacted}: the bucket has no files of an adapter there"
            )
        return file_list(files)

    def _read(self, file: RemoteFile, start: int, end: int, sink: Sink) -> None:
        if not file.size:
            return
        with _Errors(self._artifact.redacted, self._account):
            blob = self._client.bucket(self._artifact.place).blob(file.key, generation=int(file.tag or 0) or None)
            for offset in range(start, end, _CHUNK):  # the client returns a range as a whole
                stop = min(offset + _CHUNK, end) - 1
                sink(blob.download_as_bytes(start=offset, end=stop, checksum=None, timeout=_TIMEOUT, retry=None))


def _client(account: GcsCredentials, endpoint: str, guard: EgressGuard | None) -> Any:
    try:
        import requests
        from google.auth.credentials import AnonymousCredentials
        from google.auth.transport.requests import AuthorizedSession
        from google.auth.transport.requests import Request as AuthRequest
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
            message = "the private_key in gcp_service_account_json is not valid"
            raise SidecarError(Code.CREDENTIALS_INVALID, message) from None
    options = {"api_endpoint": endpoint} if endpoint else None
    if guard is None:
        return storage.Client(project=project, credentials=credentials, client_options=options)
    tokens = requests.Session()
    session = AuthorizedSession(credentials, auth_request=AuthRequest(tokens))
    for each in (tokens, session):
        each.trust_env = False
        pin_session(each, guard)
    return storage.Client(project=project, credentials=credentials, client_options=options, _http=session)


def _file(blob: Any, path: str) -> RemoteFile:
    """Return the file of an object.

    Raises:
        SidecarError: if it is stored compressed: Google then sends other bytes than its size and checksum are of.
    """
    if blob.content_encoding:
        raise SidecarError(
            Code.ARTIFACT_CORRUPT,
            f"{shown_name(path)} is stored with Content-Encoding: {blob.content_encoding}; upload it uncompressed "
            "(without gcloud's --gzip-local or gsutil's -z)",
        )
    checksum = ""
    if blob.md5_hash:
        checksum = f"md5:{b64decode(blob.md5_hash).hex()}"
    elif blob.crc32c:  # composite objects have no MD5
        checksum = f"crc32c:{b64decode(blob.crc32c).hex()}"
    return RemoteFile(path=path, size=int(blob.size), key=blob.name, tag=str(blob.generation or ""), checksum=checksum)


class _Errors:
    """Maps errors of Google's libraries."""

    def __init__(self, redacted: str, account: GcsCredentials) -> None:
        self._redacted = redacted
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
            raise self._response_error(int(status or 0)) from None
        if isinstance(error, GoogleAuthError) and not error.retryable:
            raise self._denied() from None
        if isinstance(error, (Timeout, TimeoutError)):
            raise SidecarError(Code.STORE_TIMEOUT, f"{self._redacted}: the store does not respond in time") from None
        if isinstance(error, (RequestException, GoogleAuthError, OSError)):
            name = type(error).__name__
            raise SidecarError(
                Code.STORE_UNAVAILABLE, f"{self._redacted}: no connection to the store ({name})"
            ) from None

    def _denied(self) -> SidecarError:
        """Return the error for a missing token: the account's key is rejected, or there is no account."""
        if self._private:
            message = f"{self._redacted}: Google rejects the key of the service account: is it still valid?"
            return SidecarError(Code.ARTIFACT_FORBIDDEN, message)
        return SidecarError(
            Code.CREDENTIALS_MISSING, f"{self._redacted}: it requires an account: see credentialsSecretRef"
        )

    def _response_error(self, status: int) -> SidecarError:
        message = f"{self._redacted}: the store responds {status}"
        if status == 404:
            return SidecarError(Code.ARTIFACT_NOT_FOUND, message)
        if status in (401, 403):
            if self._private:
                return SidecarError(Code.ARTIFACT_FORBIDDEN, f"{message}: has the account roles/storage.objectViewer?")
            return SidecarError(
                Code.CREDENTIALS_MISSING, f"{message}: it requires an account: see credentialsSecretRef"
            )
        if status == 416:
            return SidecarError(Code.ARTIFACT_CORRUPT, f"{self._redacted}: a file is shorter than its store states")
        if status in (408, 429) or status >= 500:
            return SidecarError(Code.STORE_UNAVAILABLE, message)
        return SidecarError(Code.ARTIFACT_FORBIDDEN, message)
