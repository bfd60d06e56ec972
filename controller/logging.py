"""Structured log of the operator: one JSON object per line, or coloured text for a terminal.

Fields have the same name in every line: `event`, `adapter` (`namespace/name`), `pod`, `attempt` (1 is the first),
`error` (text without secrets) and `error_class` (the label of `docs/metrics.md`). Times come from the `Clock`.
"""

import logging
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

from controller.clock import Clock
from formats.timestamps import format_milli_time

Format = Literal["json", "console"]
LEVELS = ("debug", "info", "warning", "error")


def logger(clock: Clock, stream: TextIO, *, format: Format = "json", level: str = "info") -> FilteringBoundLogger:
    """Return a logger that writes to `stream`; `level` is one of `LEVELS`."""

    def add_time(_: object, __: str, line: EventDict) -> EventDict:
        return {"time": format_milli_time(clock.now()), **line}

    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if format == "json"
        else structlog.dev.ConsoleRenderer(colors=stream.isatty(), timestamp_key="time")
    )
    log: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[structlog.processors.add_log_level, structlog.processors.format_exc_info, add_time, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
    )
    return log
