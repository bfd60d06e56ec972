"""Use of adapters by engines' metrics: what counts as a request, and which pages say nothing."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.demand.usage import is_new, was_used
from controller.engine.metrics import MetricsSample, read

BEFORE = MetricsSample(
    tokens=100.0, requests=0.0, cpu_seconds=5.0, started_at=1.0, adapter_times={"sql": 50.0, "chat": 40.0}
)
AFTER = replace(BEFORE, cpu_seconds=5.1)


@pytest.mark.parametrize(
    ("page", "is_used"),
    [
        (AFTER, False),
        (replace(AFTER, tokens=200.0, adapter_times={"sql": 50.0, "chat": 60.0}), False),  # another adapter's request
        (replace(AFTER, tokens=200.0, adapter_times={"sql": 55.0, "chat": 40.0}), True),
        (replace(AFTER, requests=1.0, adapter_times={"sql": 61.0, "chat": 40.0}), True),
        (replace(AFTER, adapter_times={"chat": 40.0}), True),  # its series is gone, so this is unknown
        (replace(AFTER, adapter_times={}), False),
        (replace(AFTER, adapter_times={}, tokens=101.0), True),  # an engine that names no adapters
        (replace(AFTER, adapter_times={}, requests=1.0), True),
    ],
)
def test_a_request_between_two_pages_is_seen(page: MetricsSample, is_used: bool) -> None:
    assert was_used("sql", BEFORE, page) is is_used


@pytest.mark.parametrize(
    "page",
    [
        BEFORE,  # the same page again
        replace(AFTER, cpu_seconds=None),
        replace(AFTER, requests=None),
        replace(AFTER, tokens=None),
        replace(AFTER, requests=1e9),
        replace(AFTER, tokens=0.0),
        replace(AFTER, requests=-1.0),
    ],
)
def test_a_page_that_is_old_or_impossible_says_nothing(page: MetricsSample) -> None:
    assert not is_new(BEFORE, page)
    assert is_new(BEFORE, AFTER)


@given(st.lists(st.floats(1.0, 1e9), min_size=1, max_size=5))
def test_the_newest_series_that_names_an_adapter_counts(times: list[float]) -> None:
    lines = [
        f'vllm:lora_requests_info{{running_lora_adapters="sql,other-{number}",waiting_lora_adapters=""}} {time!r}'
        for number, time in enumerate(times)
    ]
    page = read("\n".join([*lines, "process_cpu_seconds_total 7.5"]).encode())
    assert page.adapter_times["sql"] == max(times)
    assert page.cpu_seconds == 7.5


def recorded(name: str) -> MetricsSample:
    """Return a page of a real vLLM 0.32.0 that had requests for `sql`, for `chat` and the base model, for `sql`."""
    file = Path(__file__).parent / "recordings" / "usage-0.32.0.json"
    return read("\n".join(json.loads(file.read_text("utf-8"))["pages"][name]).encode())


@pytest.mark.parametrize(
    ("before", "after", "used"),
    [
        ("idle before", "after sql", {"sql"}),
        ("after sql", "idle after sql", set()),
        ("idle after sql", "after chat and base", {"chat"}),
        ("idle after sql", "after sql again", {"sql", "chat"}),
        ("after sql again", "idle at the end", set()),
    ],
)
def test_a_real_server_shows_which_adapters_had_requests_between_two_pages(
    before: str, after: str, used: set[str]
) -> None:
    first, second = recorded(before), recorded(after)
    assert is_new(first, second)
    assert {name for name in ("sql", "chat") if was_used(name, first, second)} == used
