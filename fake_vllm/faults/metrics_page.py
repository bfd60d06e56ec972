"""Pages of metrics that are wrong or stale. Pure."""

import re
from dataclasses import replace

from fake_vllm.router import Response

_SAMPLE = re.compile(rb"^((?:vllm|sglang):.*[} ]) *\S+$", re.ASCII | re.MULTILINE)
"""Series of the engine, as https://prometheus.io/docs/instrumenting/exposition_formats/ defines them."""


def with_value(response: Response, value: str) -> Response:
    """Return the page with `value` for each series of the engine."""
    body = _SAMPLE.sub(lambda match: b"%b %b" % (match[1].rstrip(), value.encode()), response.body)
    return replace(response, body=body)
