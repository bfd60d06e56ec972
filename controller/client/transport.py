"""Requests to an API server: authentication, rate limit, timeouts and retries.

Requests are sent by the REST client of the `kubernetes` package, which handles TLS and proxies. Its models are not
used: decoding into the operator's frozen structs is faster.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from random import Random
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client.rest import RESTClientObject

from controller.client.config import ClientConfig, ConfigError, RestConfig
from controller.client.errors import from_response
from controller.client.interface import ClientError, Forbidden, Unavailable
from controller.client.limits import MAX_OBJECT, LineReader, read_body
from controller.client.ratelimit import RateLimits
from formats.retry_after import parse_retry_after

Method = Literal["GET", "POST", "PATCH", "DELETE"]

_CONNECT_TIMEOUT = 10.0
_WATCH_READ_TIMEOUT = 180.0
"""Seconds; servers send a bookmark every minute, and informers give a silent watch up sooner and list again."""
_WATCH_TIMEOUT = 660.0
"""Seconds; a minute more than the longest watch that is requested."""
_ATTEMPTS = 5
_FIRST_DELAY = 0.1
_MAX_RETRY_AFTER = 10.0
"""Seconds; a longer Retry-After is returned to the caller with the error."""
_RELOAD_INTERVAL = 5.0
"""Minimum seconds between reloads of the credentials after status 401."""


class Connection:
    """Connections of one account to one server; a context manager that closes them."""

    def __init__(self, config: ClientConfig, *, limits: RateLimits, timeout: float, rng: Random) -> None:
        self._source = config
        self._limits = limits
        self._timeout = timeout
        self._request_timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=min(_CONNECT_TIMEOUT, timeout))
        self._rng = rng
        self._config: RestConfig | None = None
        self._loaded_at = 0.0
        self._stale = False
        self._loading = asyncio.Lock()
        self._rest: RESTClientObject | None = None
        self._previous_rest: RESTClientObject | None = None

    @property
    def server(self) -> str:
        """Address of the server, for messages."""
        return str(self._config.configuration.host) if self._config is not None else "the API server"

    async def __aenter__(self) -> Self:
        await self._load()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, e: BaseException | None, t: TracebackType | None
    ) -> None:
        for client in (self._rest, self._previous_rest):
            if client is not None:
                await client.close()

    async def request(
        self,
        method: Method,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        limit: int = MAX_OBJECT,
    ) -> bytes:
        """Return the body of a successful response, of at most `limit` bytes. Raises `ClientError`."""
        attempt = 1
        while True:
            try:
                response = await self._send(method, path, query, body, content_type, self._request_timeout)
                return await read_body(response, limit)
            except (aiohttp.ClientError, TimeoutError) as error:
                failure: ClientError = self._error(error)
            except ClientError as error:
                failure = error
            delay = self._retry_delay(method, failure, attempt)
            if delay is None:
                raise failure
            await asyncio.sleep(delay)
            attempt += 1

    async def lines(self, path: str, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        """Yield the lines of a response until the server or the network ends it. Raises `ClientError`."""
        timeout = aiohttp.ClientTimeout(
            total=_WATCH_TIMEOUT, sock_connect=_CONNECT_TIMEOUT, sock_read=_WATCH_READ_TIMEOUT
        )
        response = await self._send("GET", path, query, None, "application/json", timeout)
        reader = LineReader()
        try:
            async for chunk in response.content.iter_any():
                for line in reader.feed(chunk):
                    yield line
                await asyncio.sleep(0)  # a server that never pauses must not keep the event loop to itself
        except (aiohttp.ClientError, TimeoutError):
            return  # the caller resumes after the last complete line
        finally:
            response.close()

    async def _send(
        self,
        method: Method,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        content_type: str,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        """Return a successful response; its body has not been read."""
        target, reloaded = f"{path}?{urlencode(query)}" if query else path, False
        while True:
            await self._limits.of(_group(path)).wait()
            config, rest = await self._load()
            headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": "lora-controller"}
            if config.token:
                headers["Authorization"] = config.token
            url = f"{config.configuration.host}{target}"
            try:
                result = await rest.request(method, url, headers=headers, body=body, _request_timeout=timeout)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise self._error(error) from None
            response: aiohttp.ClientResponse = result.response
            if response.status < 400:
                return response
            failure = await self._failure(response)
            if failure.code != 401 or reloaded or not self._may_reload():
                raise failure
            self._stale = reloaded = True

    # -- credentials

    async def _load(self) -> tuple[RestConfig, RESTClientObject]:
        async with self._loading:
            now = asyncio.get_running_loop().time()
            config = self._config
            expired = config is not None and config.valid_for is not None and now > self._loaded_at + config.valid_for
            if config is None or self._rest is None or expired or self._stale:
                config = await self._reload()
                self._loaded_at, self._stale = asyncio.get_running_loop().time(), False
            assert self._rest is not None
            return config, self._rest

    async def _reload(self) -> RestConfig:
        previous = self._config
        try:
            config = await self._source.load()
            if (
                previous is None
                or config.configuration.cert_file
                or _endpoint(config) != _endpoint(previous)
                or self._stale
            ):
                rest = RESTClientObject(config.configuration)
                if self._previous_rest is not None:
                    await self._previous_rest.close()
                self._previous_rest, self._rest = self._rest, rest
        except (ConfigError, OSError) as error:  # OSError: an unreadable certificate
            if previous is None:
                raise error if isinstance(error, ConfigError) else ConfigError(f"bad certificate: {error}") from None
            raise Forbidden(f"credentials cannot be renewed: {error}", code=401) from None
        self._config = config
        return config

    async def _failure(self, response: aiohttp.ClientResponse) -> ClientError:
        try:
            body = await read_body(response, MAX_OBJECT)
        except (aiohttp.ClientError, TimeoutError) as error:
            return self._error(error)
        except Unavailable as error:
            return error
        return from_response(response.status, body, _retry_after(response))

    def _may_reload(self) -> bool:
        return asyncio.get_running_loop().time() > self._loaded_at + _RELOAD_INTERVAL

    # -- errors and retries

    def _error(self, error: Exception) -> Unavailable:
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            self._stale = True  # the cluster's CA may have been rotated
            cause = f"certificate not trusted: {error.certificate_error}"
        elif isinstance(error, TimeoutError):
            cause = f"no response within {self._timeout:g} s"
        elif isinstance(error, aiohttp.ClientConnectorError):
            cause = f"no connection: {error.os_error.strerror or error.os_error}"
        else:
            cause = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return Unavailable(f"{self.server}: {cause}")

    def _retry_delay(self, method: Method, failure: ClientError, attempt: int) -> float | None:
        """Delay before the next attempt, in seconds; None if the request is not sent again.

        A server that sends Retry-After has not executed the request. Otherwise only reads are retried: a write may have
        been executed, so the caller has to read the object first.
        """
        if attempt >= _ATTEMPTS or not isinstance(failure, Unavailable):
            return None
        if failure.retry_after is not None:
            return failure.retry_after if failure.retry_after <= _MAX_RETRY_AFTER else None
        if method != "GET":
            return None
        return _FIRST_DELAY * 2.0 ** (attempt - 1) * (1 + self._rng.random())


def _group(path: str) -> str:
    """Return the API group of a URL path; empty for the core group."""
    return path.split("/")[2] if path.startswith("/apis/") else ""


def _endpoint(config: RestConfig) -> tuple[object, ...]:
    """Return the settings that open connections depend on; tokens are sent with each request."""
    c = config.configuration
    return (c.host, c.ssl_ca_cert, c.cert_file, c.key_file, c.verify_ssl, c.tls_server_name, c.proxy)


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    headers = response.headers
    return parse_retry_after(headers.get("Retry-After", ""), headers.get("Date", ""))
