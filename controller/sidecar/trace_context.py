"""W3C Trace Context of the request that is being handled, which requests to the engine pass on.

The sidecar records no spans of its own. A load is a task that its first request starts, with the context of that one.
"""

import re
from collections.abc import Mapping
from contextvars import ContextVar

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE = re.compile(r"[\x20-\x7e]{1,512}")

_headers: ContextVar[Mapping[str, str] | None] = ContextVar("trace_headers", default=None)


def receive(headers: Mapping[str, str]) -> None:
    """Keep the trace headers of a request for those that follow from it; others than the standard's are dropped."""
    traceparent, tracestate = headers.get("traceparent", ""), headers.get("tracestate", "")
    if not _TRACEPARENT.fullmatch(traceparent):
        _headers.set(None)
    elif _TRACESTATE.fullmatch(tracestate):
        _headers.set({"traceparent": traceparent, "tracestate": tracestate})
    else:
        _headers.set({"traceparent": traceparent})


def trace_headers() -> Mapping[str, str]:
    """Return the headers to pass on."""
    return _headers.get() or {}
