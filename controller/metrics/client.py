"""A `Client` that counts the requests of another.

Labels are those of client-go's `rest_client_requests_total`; a request without a response has the code `<error>`.
"""

from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

from controller.api.types import Kind, Resource
from controller.client.delegating import DelegatingClient, Method
from controller.client.interface import Client, ClientError, WatchEvent
from controller.metrics.instruments import Metrics

T = TypeVar("T", bound=Resource)
R = TypeVar("R")


class InstrumentedClient(DelegatingClient):
    """Delegates requests and counts them by method and code."""

    def __init__(self, client: Client, metrics: Metrics) -> None:
        super().__init__(client)
        self._metrics = metrics

    async def watch(
        self, kind: Kind[T], *, resource_version: str, namespace: str = "", label_selector: str = "", name: str = ""
    ) -> AsyncIterator[WatchEvent[T]]:
        events = self._client.watch(
            kind, resource_version=resource_version, namespace=namespace, label_selector=label_selector, name=name
        )
        try:
            async for event in events:
                yield event
        except ClientError as error:
            self._metrics.observe_api_request("GET", _code(error))
            raise
        else:
            self._metrics.observe_api_request("GET", "200")

    async def _request(self, method: Method, kind: Kind[Any], request: Awaitable[R]) -> R:  # noqa: ARG002
        try:
            result = await request
        except ClientError as error:
            self._metrics.observe_api_request(method, _code(error))
            raise
        self._metrics.observe_api_request(method, "201" if method == "POST" else "200")
        return result


def _code(error: ClientError) -> str:
    return str(error.code) if error.code else "<error>"
