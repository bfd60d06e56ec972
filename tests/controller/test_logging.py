"""Format of the operator's log."""

import io
import json
from datetime import UTC, datetime

from controller.logging import logger


class Noon:
    """A stopped clock."""

    def now(self) -> datetime:
        return datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)


def test_a_line_is_one_json_object_with_the_clocks_time() -> None:
    out = io.StringIO()
    log = logger(Noon(), out).bind(adapter="default/sql", pod="qwen-0", attempt=2)
    log.warning("load failed", error="connection refused", error_class="ConnectError")
    assert json.loads(out.getvalue()) == {
        "time": "2026-03-01T12:00:00.250Z",
        "level": "warning",
        "event": "load failed",
        "adapter": "default/sql",
        "pod": "qwen-0",
        "attempt": 2,
        "error": "connection refused",
        "error_class": "ConnectError",
    }


def test_the_console_has_the_same_fields_and_no_colours_in_a_file() -> None:
    out = io.StringIO()
    logger(Noon(), out, format="console").info("load ended", adapter="default/sql")
    assert "\x1b" not in out.getvalue()
    assert "adapter=default/sql" in out.getvalue()


def test_what_is_below_the_level_is_not_written() -> None:
    out = io.StringIO()
    log = logger(Noon(), out, level="warning")
    log.info("leading")
    assert out.getvalue() == ""
    log.error("the end")
    assert "the end" in out.getvalue()
