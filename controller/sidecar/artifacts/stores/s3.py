"""S3 and compatible stores: MinIO and others by `endpoint`, Volcengine's TOS by its S3 endpoint.

Calls of `boto3` block, so each runs in a thread. Only credentials of the request are used: the author of a ModelAdapter
must not act with the identity of the node or of the environment.
"""

import asyncio
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from controller.sidecar.artifacts.credentials import S3Credentials
from controller.sidecar.artifacts.egress_guard import EgressGuard
from controller.sidecar.artifacts.pinned_connections import pin_pools
from controller.sidecar.artifacts.stores import MAX_FILES, FileList, RemoteFile, Sink, file_list, is_needed
from controller.sidecar.artifacts.url import Artifact
from controller.sidecar.errors import Code, SidecarError, missing_extra

_CHUNK = 1 << 18  # bytes; larger chunks are not faster
_MAX_CONCURRENT = 8  # requests for metadata of objects
_TOS_REGION = "cn-beijing"
_NOT_FOUND = frozenset({"404", "NoSuchKey", "NoSuchBucket", "NotFound"})
_FORBIDDEN = frozenset(
    {
        "401", "403", "AccessDenied", "AllAccessDisabled", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken",
        "SignatureDoesNotMatch", "TokenRefreshRequired", "AuthFailure", "UnauthorizedAccess",
    }
)  # fmt: skip
_BUSY = frozenset({"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "Throttling"})


class S3Store:
    """Store of a folder or an archive in a bucket."""

    def __init__(self, artifact: Artifact, keys: S3Credentials, guard: EgressGuard, endpoint: str = "") -> None:
        self._artifact = artifact
        self._guarded = keys.endpoint
        self._is_configured = bool(endpoint and not keys.endpoint)
        """The endpoint is a setting of the sidecar, which may be anywhere."""
        self._keys = keys if keys.endpoint else replace(keys, endpoint=endpoint)
        self._guard = guard
        self._client: Any = None

    async def listing(self) -> FileList:
        if self._guarded:
            await self._guard.check(self._guarded)
        return await asyncio.to_thread(self._list)

    async def read(self, file: RemoteFile, start: int, end: int, sink: Sink) -> None:
        await asyncio.to_thread(self._read, file, start, end, sink)

    async def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _list(self) -> FileList:
        self._client = self._client or _client(self._keys, None if self._is_configured else self._guard)
        key = self._artifact.path
        if self._artifact.is_archive:
            listing = file_list([self._head(key, "archive")])
            return FileList(files=listing.files, version=listing.version, is_archive=True)
        prefix = key.rstrip("/") + "/"
        pages = self._client.get_paginator("list_objects_v2")
        keys: list[str] = []
        with _Errors(self._artifact.redacted, self._keys):
            for page in pages.paginate(Bucket=self._artifact.place, Prefix=prefix, Delimiter="/"):
                keys += [item["Key"] for item in page.get("Contents", ()) if is_needed(item["Key"][len(prefix) :])]
                if len(keys) > MAX_FILES:
                    break
        if not keys:
            raise SidecarError(
                Code.ARTIFACT_NOT_FOUND, f"{self._artifact.redacted}: the bucket has no files of an adapter there"
            )
        if len(keys) > MAX_FILES:
            raise SidecarError(Code.ARTIFACT_TOO_LARGE, f"the artifact has more than {MAX_FILES} files")
        with ThreadPoolExecutor(_MAX_CONCURRENT) as pool:
            return file_list(list(pool.map(lambda key: self._head(key, key[len(prefix) :]), keys)))

    def _head(self, key: str, path: str) -> RemoteFile:
        with _Errors(self._artifact.redacted, self._keys):
            head = self._client.head_object(Bucket=self._artifact.place, Key=key, ChecksumMode="ENABLED")
        size, tag = int(head["ContentLength"]), str(head.get("ETag", ""))
        return RemoteFile(path=path, size=size, key=key, tag=tag, checksum=_checksum(head))

    def _read(self, file: RemoteFile, start: int, end: int, sink: Sink) -> None:
        request = {"Bucket": self._artifact.place, "Key": file.key}
        if start or end != file.size:
            request["Range"] = f"bytes={start}-{end - 1}"
        if file.tag:
            request["IfMatch"] = file.tag
        with _Errors(self._artifact.redacted, self._keys):
            body = self._client.get_object(**request)["Body"]
        try:
            while True:
                with _Errors(self._artifact.redacted, self._keys):
                    chunk = body.read(_CHUNK)
                if not chunk:
                    return
                sink(chunk)
        finally:
            body.close()


def tos_keys(keys: S3Credentials) -> S3Credentials:
    """Return credentials for the S3 endpoint of TOS (`tos-s3-…`; `tos-REGION.volces.com` has another protocol)."""
    region = keys.region or _TOS_REGION
    endpoint = keys.endpoint or f"https://tos-s3-{region}.volces.com"
    if "://" not in endpoint:
        endpoint = f"https://{endpoint}"
    if "://tos-s3-" not in endpoint and endpoint.rstrip("/").endswith(("volces.com", "ivolces.com")):
        endpoint = endpoint.replace("://tos-", "://tos-s3-", 1)
    return replace(keys, region=region, endpoint=endpoint)


def _client(keys: S3Credentials, guard: EgressGuard | None) -> Any:
    try:
        from botocore import UNSIGNED
        from botocore.config import Config
    except ImportError:
        raise missing_extra("s3:// and tos://", "s3") from None
    style = "virtual" if "volces.com" in keys.endpoint else "auto"
    config = Config(
        signature_version=None if keys.access else UNSIGNED,
        connect_timeout=10,
        read_timeout=30,
        max_pool_connections=32,
        retries={"total_max_attempts": 2, "mode": "standard"},
        s3={"addressing_style": style},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        proxies={},
        ignore_configured_endpoint_urls=True,
    )
    session = _session()
    client = session.create_client(
        "s3",
        region_name=keys.region or "us-east-1",
        endpoint_url=keys.endpoint or None,
        aws_access_key_id=keys.access or None,
        aws_secret_access_key=keys.secret or None,
        aws_session_token=keys.session or None,
        config=config,
    )
    if guard is not None:
        pin_pools(client._endpoint.http_session._manager, guard)
    return client


def _session() -> Any:
    """Return a session with botocore's defaults, whatever the variables AWS_* of the environment say.

    They are the node's or the operator's, for other programs; a profile that is missing in the empty configuration, or
    a malformed number, would break every request. Only AWS_CA_BUNDLE counts: a store may have a private CA.
    """
    import botocore.session
    from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES, ConstantProvider

    session = botocore.session.Session()
    variables = session.get_component("config_store")
    for name, (_, _, default, _) in BOTOCORE_DEFAUT_SESSION_VARIABLES.items():
        if name != "ca_bundle":
            variables.set_config_provider(name, ConstantProvider(default))
    session.set_config_variable("config_file", "/dev/null")
    session.set_config_variable("credentials_file", "/dev/null")
    return session


class _Errors:
    """Maps errors of boto3."""

    def __init__(self, redacted: str, keys: S3Credentials) -> None:
        self._redacted = redacted
        self._private = bool(keys.access)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        from botocore import exceptions

        refused = error.kwargs.get("error") if isinstance(error, exceptions.HTTPClientError) else None
        if isinstance(refused, SidecarError):
            raise refused from None
        if isinstance(error, exceptions.ClientError):
            raise self._response_error(error) from None
        if isinstance(error, (exceptions.ReadTimeoutError, exceptions.ConnectTimeoutError)):
            raise SidecarError(Code.STORE_TIMEOUT, f"{self._redacted}: the store does not respond in time") from None
        if isinstance(error, exceptions.ParamValidationError):
            raise SidecarError(Code.INVALID_URL, f"{self._redacted}: this bucket or key cannot be") from None
        if isinstance(error, ValueError) and "endpoint" in str(error).lower():
            raise SidecarError(Code.CREDENTIALS_INVALID, "`endpoint` must be an http(s) URL") from None
        if isinstance(error, (exceptions.BotoCoreError, OSError)) or type(error).__module__.startswith("urllib3"):
            name = type(error).__name__
            raise SidecarError(
                Code.STORE_UNAVAILABLE, f"{self._redacted}: no connection to the store ({name})"
            ) from None

    def _response_error(self, error: Any) -> SidecarError:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        message = f"{self._redacted}: the store responds {status} {code}".rstrip()
        if code in _NOT_FOUND or status == 404:
            return SidecarError(Code.ARTIFACT_NOT_FOUND, message)
        if code in _FORBIDDEN or status in (401, 403):
            if self._private:
                return SidecarError(Code.ARTIFACT_FORBIDDEN, f"{message}: check the keys and their permissions")
            return SidecarError(Code.CREDENTIALS_MISSING, f"{message}: it requires keys: see credentialsSecretRef")
        if status == 412:
            return SidecarError(Code.STORE_UNAVAILABLE, f"{self._redacted} changed while it was fetched")
        if status == 416:
            return SidecarError(Code.ARTIFACT_CORRUPT, f"{self._redacted}: a file is shorter than its store states")
        if code in _BUSY or status == 429 or status >= 500:
            return SidecarError(Code.STORE_UNAVAILABLE, message)
        if status in (301, 307, 400) and code in ("PermanentRedirect", "AuthorizationHeaderMalformed", "301", "400"):
            return SidecarError(Code.CREDENTIALS_INVALID, f"{message}: is aws_region the bucket's region?")
        return SidecarError(Code.ARTIFACT_FORBIDDEN, message)


def _checksum(head: dict[str, Any]) -> str:
    """Return the checksum of an object. An ETag is its MD5 unless it was uploaded in parts or encrypted with a key."""
    is_full = head.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT"
    for kind, name in (("sha256", "ChecksumSHA256"), ("crc32", "ChecksumCRC32")):
        if is_full and head.get(name) and "-" not in head[name]:
            return f"{kind}:{b64decode(head[name]).hex()}"
    tag = str(head.get("ETag", "")).strip('"').lower()
    is_plain = head.get("ServerSideEncryption", "AES256") == "AES256" and "SSECustomerAlgorithm" not in head
    is_md5 = is_plain and len(tag) == 32 and all(character in "0123456789abcdef" for character in tag)
    return f"md5:{tag}" if is_md5 else ""
