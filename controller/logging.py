"""The operator's log: one JSON object a line for machines, or coloured text for a terminal.

A line says what happened (`event`) and to whom, always under the same names: `adapter` (`namespace/name`), `pod`,
`attempt` (1 is the first), `error` (text that can be shown) and `error_class` (one word: what `docs/metrics.md`
counts by). Times come from the Clock that is handed in, as all of the operator's times do.
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
    """A log that writes to `stream`; `level` is one of `LEVELS`."""

    def stamped(_: object, __: str, line: EventDict) -> EventDict:
        return {"time": format_milli_time(clock.now()), **line}

    written: Processor = (
        structlog.processors.JSONRenderer()
        if format == "json"
        else structlog.dev.ConsoleRenderer(colors=stream.isatty(), timestamp_key="time")
    )
    log: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[structlog.processors.add_log_level, structlog.processors.format_exc_info, stamped, written],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
    )
    return log
