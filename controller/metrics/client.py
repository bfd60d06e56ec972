"""The API server's requests, counted: a `Client` around another, so that each seam's far side is counted alike.

Codes and methods are those of client-go's `rest_client_requests_total`; a request that got no answer has the code
`<error>`, as there.
"""

from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

from controller.api.types import Kind, Resource
from controller.client.delegating import DelegatingClient, Method
from controller.client.interface import Client, ClientError, WatchEvent
from controller.metrics.instruments import Metrics

T = TypeVar("T", bound=Resource)
R = TypeVar("R")


class InstrumentedClient(DelegatingClient):
    """Passes everything on, and counts what came of it."""

    def __init__(self, cluster: Client, metrics: Metrics) -> None:
        super().__init__(cluster)
        self._metrics = metrics

    async def watch(
        self, kind: Kind[T], *, resource_version: str, namespace: str = "", label_selector: str = "", name: str = ""
    ) -> AsyncIterator[WatchEvent[T]]:
        changes = self._cluster.watch(
            kind, resource_version=resource_version, namespace=namespace, label_selector=label_selector, name=name
        )
        try:
            async for change in changes:
                yield change
        except ClientError as error:
            self._metrics.observe_api_request("GET", _code(error))
            raise
        else:
            self._metrics.observe_api_request("GET", "200")

    async def _asked(self, method: Method, asked: Awaitable[R]) -> R:
        try:
            answer = await asked
        except ClientError as error:
            self._metrics.observe_api_request(method, _code(error))
            raise
        self._metrics.observe_api_request(method, "201" if method == "POST" else "200")
        return answer


def _code(error: ClientError) -> str:
    return str(error.code) if error.code else "<error>"
