"""Durations, sizes and rates: what people write, and that what is written back means the same."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from twin.scenario import units as q


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("90s", 90), ("1h30m", 5400), ("2d", 172800), ("1.8s", 1.8), ("0s", 0), (0, 0), ("1m0.5s", 60.5)],
)
def test_a_duration_is_read_in_seconds(text: object, seconds: float) -> None:
    assert q.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5 s", "s", "-5s", "1e3s", "5sec", "1,5s", None, True, [1], float("nan"), 7])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(PydanticCustomError):
        q.duration(text)


@settings(deadline=None)
@given(st.floats(min_value=0, max_value=1e9, allow_nan=False))
def test_a_duration_written_back_is_the_same_float(seconds: float) -> None:
    assert q.duration(q.show_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "amount"), [("80MiB", 80 * 2**20), ("8Gi", 8 * 2**30), ("1GB", 1e9), ("1.5kB", 1500), ("7B", 7)]
)
def test_a_size_is_read_in_bytes_and_written_back(text: str, amount: float) -> None:
    assert q.size(text) == amount
    assert q.size(q.show_size(amount)) == amount


@pytest.mark.parametrize(
    ("text", "amount"), [("2Gbit/s", 250e6), ("100Mbit/s", 12.5e6), ("50MB/s", 50e6), ("8bit/s", 1), ("1MiB/s", 2**20)]
)
def test_a_bandwidth_is_read_in_bytes_a_second_and_written_back(text: str, amount: float) -> None:
    assert q.bandwidth(text) == amount
    assert q.bandwidth(q.show_bandwidth(amount)) == amount


@settings(deadline=None)
@given(st.integers(1, 10**6), st.sampled_from(["s", "min", "h", "d"]))
def test_a_rate_written_back_is_the_same_float(count: int, unit: str) -> None:
    per_second = q.rate(f"{count}/{unit}")
    assert q.rate(q.show_rate(per_second)) == per_second


@pytest.mark.parametrize("text", ["4", "4/week", "/s", "0/s", "-1/s", 4, None])
def test_what_is_no_rate_is_refused(text: object) -> None:
    with pytest.raises(PydanticCustomError):
        q.rate(text)


@pytest.mark.parametrize("text", ["80", "80 miB", "0MiB", "-1MiB", 80, "MiB"])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(PydanticCustomError):
        q.size(text)
