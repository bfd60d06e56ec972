"""A `Client` that records the requests of another as spans of the reconcile that makes them."""

from collections.abc import Awaitable
from typing import Any, TypeVar

from controller.api.types import Kind
from controller.client.delegating import DelegatingClient, Method
from controller.client.interface import Client, ClientError
from controller.tracing.interface import Tracer

R = TypeVar("R")


class TracedClient(DelegatingClient):
    """Delegates requests within spans. Watches are not recorded: they last as long as the operator."""

    def __init__(self, client: Client, tracer: Tracer) -> None:
        super().__init__(client)
        self._tracer = tracer

    async def _request(self, method: Method, kind: Kind[Any], request: Awaitable[R]) -> R:
        with self._tracer.api_request(method, kind.plural) as span:
            try:
                result = await request
            except ClientError as error:
                if error.code:
                    span.set("http.response.status_code", error.code)
                span.fail(str(error.code or type(error).__name__))
                raise
            span.set("http.response.status_code", 201 if method == "POST" else 200)
            return result
