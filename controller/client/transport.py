"""Requests to a live API server: as whom, how fast, how long, and how often again.

Sent by the REST client of the `kubernetes` package, which knows TLS and proxies (of a kubeconfig or the environment).
Its models are not used: the operator has its own, which cost less and cannot be changed by accident.
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
from controller.client.errors import refusal
from controller.client.interface import ClientError, Forbidden, Unavailable
from controller.client.ratelimit import RateLimit

Method = Literal["GET", "POST", "PATCH", "DELETE"]

_CONNECT_SECONDS = 10.0
_SILENCE_SECONDS = 150.0
"""A watch that says nothing for so long is dead: a server sends bookmarks every minute."""
_ATTEMPTS = 5
_FIRST_WAIT = 0.1
_LONGEST_WAIT = 10.0
"""Seconds; whoever is told to wait longer is told so by the error, and can do something else meanwhile."""
_RELOGIN_SECONDS = 5.0
"""A server that says 401 for ever is not asked to look at new credentials more often than this."""


class Connection:
    """One account on one server. To be entered, so that sockets are closed in the end."""

    def __init__(self, access: ClientConfig, *, limit: RateLimit, timeout: float, rng: Random) -> None:
        self._access = access
        self._limit = limit
        self._timeout = timeout
        self._whole = aiohttp.ClientTimeout(total=timeout, sock_connect=min(_CONNECT_SECONDS, timeout))
        self._rng = rng
        self._login: RestConfig | None = None
        self._logged_in_at = 0.0
        self._stale = False
        self._logging_in = asyncio.Lock()
        self._rest: RESTClientObject | None = None
        self._before: RESTClientObject | None = None

    @property
    def server(self) -> str:
        """The address, for people."""
        return str(self._login.configuration.host) if self._login is not None else "the API server"

    async def __aenter__(self) -> Self:
        await self._log_in()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, e: BaseException | None, t: TracebackType | None
    ) -> None:
        for client in (self._rest, self._before):
            if client is not None:
                await client.close()

    async def request(
        self,
        method: Method,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        """The body of a good answer. Raises `ClientError`."""
        attempt = 1
        while True:
            try:
                response = await self._send(method, path, query, body, content_type, self._whole)
                return await response.read()
            except (aiohttp.ClientError, TimeoutError) as error:
                failure: ClientError = self._no_answer(error)
            except ClientError as error:
                failure = error
            wait = self._wait_before_next(method, failure, attempt)
            if wait is None:
                raise failure
            await asyncio.sleep(wait)
            attempt += 1

    async def lines(self, path: str, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        """The lines of an answer that goes on until the server, or the network, ends it. Raises `ClientError`."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS)
        response = await self._send("GET", path, query, None, "application/json", timeout)
        begun = b""
        try:
            async for chunk in response.content.iter_any():
                *whole, begun = (begun + chunk).split(b"\n")
                for line in whole:
                    if line.strip():
                        yield line
        except (aiohttp.ClientError, TimeoutError):
            return  # whoever watches goes on from the last line that arrived whole
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
        """An answer that is good so far; its body is still to be read."""
        target = f"{path}?{urlencode(query)}" if query else path
        while True:
            await self._limit.wait()
            login, rest = await self._log_in()
            headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": "lora-controller"}
            if login.token:
                headers["Authorization"] = login.token
            url = f"{login.configuration.host}{target}"
            try:
                answer = await rest.request(method, url, headers=headers, body=body, _request_timeout=timeout)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise self._no_answer(error) from None
            response: aiohttp.ClientResponse = answer.response
            if response.status < 400:
                return response
            failure = refusal(response.status, await response.read(), _retry_after(response))
            if not (failure.code == 401 and self._may_log_in_again()):
                raise failure
            self._stale = True

    # -- who we are

    async def _log_in(self) -> tuple[RestConfig, RESTClientObject]:
        async with self._logging_in:
            now = asyncio.get_running_loop().time()
            login = self._login
            over = login is not None and login.valid_for is not None and now > self._logged_in_at + login.valid_for
            if login is None or self._rest is None or over or self._stale:
                login = await self._logged_in_anew()
                self._logged_in_at, self._stale = now, False
            assert self._rest is not None
            return login, self._rest

    async def _logged_in_anew(self) -> RestConfig:
        before = self._login
        try:
            login = await self._access.load()
            if before is None or login.configuration.cert_file or _route(login) != _route(before) or self._stale:
                rest = RESTClientObject(login.configuration)
                if self._before is not None:
                    await self._before.close()
                self._before, self._rest = self._rest, rest
        except (ConfigError, OSError) as error:  # OSError: a certificate that TLS cannot read
            if before is None:
                raise error if isinstance(error, ConfigError) else ConfigError(f"bad certificate: {error}") from None
            raise Forbidden(f"credentials cannot be renewed: {error}", code=401) from None
        self._login = login
        return login

    def _may_log_in_again(self) -> bool:
        return asyncio.get_running_loop().time() > self._logged_in_at + _RELOGIN_SECONDS

    # -- when it did not work

    def _no_answer(self, error: Exception) -> Unavailable:
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            self._stale = True  # the cluster's CA may have been renewed
            cause = f"its certificate is not trusted: {error.certificate_error}"
        elif isinstance(error, TimeoutError):
            cause = f"no answer within {self._timeout:g} s"
        elif isinstance(error, aiohttp.ClientConnectorError):
            cause = f"no connection: {error.os_error.strerror or error.os_error}"
        else:
            cause = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return Unavailable(f"{self.server}: {cause}")

    def _wait_before_next(self, method: Method, failure: ClientError, attempt: int) -> float | None:
        """Seconds until the next try; None if there is none.

        A server that says when to come again has not done anything. Without that word only reads are sent again: a
        write may have been done, and who decides on it has to look first.
        """
        if attempt >= _ATTEMPTS or not isinstance(failure, Unavailable):
            return None
        if failure.retry_after is not None:
            return failure.retry_after if failure.retry_after <= _LONGEST_WAIT else None
        if method != "GET":
            return None
        return _FIRST_WAIT * 2.0 ** (attempt - 1) * (1 + self._rng.random())


def _route(login: RestConfig) -> tuple[object, ...]:
    """What a connection depends on; a token is sent anew each time."""
    c = login.configuration
    return (c.host, c.ssl_ca_cert, c.cert_file, c.key_file, c.verify_ssl, c.tls_server_name, c.proxy)


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else None
