"""Interface of tracers, and the tracer that records nothing.

The tracer is injected. A span covers the `with` block that it is used in, and is the parent of the spans that begin in
it, also in tasks that are started there. No text of an error, no body and no URL of an artifact may become an
attribute: each can contain a credential.
"""

from contextlib import AbstractContextManager
from typing import Protocol

import httpx


class Span(Protocol):
    """One operation with a begin and an end."""

    def set(self, name: str, value: str | int | bool) -> None:
        """Set an attribute."""
        ...

    def fail(self, reason: str) -> None:
        """Mark the operation as failed; `reason` is one word, such as that of a condition or an HTTP status."""
        ...


class Tracer(Protocol):
    """Begins spans."""

    def reconcile(self, adapter: str) -> AbstractContextManager[Span]:
        """Begin a trace: one reconcile of the adapter with this key."""
        ...

    def api_request(self, method: str, resource: str) -> AbstractContextManager[Span]:
        """Begin a request to the API server; outside of a reconcile it is not recorded."""
        ...

    def engine_call(self, verb: str, adapter: str, pod: str) -> AbstractContextManager[Span]:
        """Begin a load, unload or list that a reconcile has started. `adapter` and `pod` are `namespace/name`."""
        ...

    def engine_request(self, request: httpx.Request) -> AbstractContextManager[Span]:
        """Begin an HTTP request of an engine call, and add the headers by which the receiver continues the trace."""
        ...


class _NoSpan:
    """A span that is not recorded, and its `with` block."""

    def set(self, name: str, value: str | int | bool) -> None:
        pass

    def fail(self, reason: str) -> None:
        pass

    def __enter__(self) -> Span:
        return self

    def __exit__(self, *_: object) -> None:
        pass


NO_SPAN = _NoSpan()


class NoTracer:
    """Records nothing."""

    def reconcile(self, adapter: str) -> AbstractContextManager[Span]:  # noqa: ARG002
        return NO_SPAN

    def api_request(self, method: str, resource: str) -> AbstractContextManager[Span]:  # noqa: ARG002
        return NO_SPAN

    def engine_call(self, verb: str, adapter: str, pod: str) -> AbstractContextManager[Span]:  # noqa: ARG002
        return NO_SPAN

    def engine_request(self, request: httpx.Request) -> AbstractContextManager[Span]:  # noqa: ARG002
        return NO_SPAN


NO_TRACES = NoTracer()
