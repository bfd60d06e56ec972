"""Quantities, sizes, rates and bandwidths."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats import quantities as q
from formats.errors import FormatError


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("500m", "0.5"),
        ("1.5", "1.5"),
        ("8Gi", str(8 * 2**30)),
        ("2e3", "2000"),
        ("2E", "2e18"),
        ("1k", "1000"),
        (3, "3"),
        ("-1", "-1"),
        ("3n", "3e-9"),
    ],
)
def test_a_kubernetes_quantity_is_exact(text: object, amount: str) -> None:
    assert q.parse_quantity(text) == Decimal(amount)


@pytest.mark.parametrize("text", ["", "x", "1 Gi", "1GiB", "Gi", "1e", "1K"])
def test_other_quantities_are_refused(text: str) -> None:
    with pytest.raises(FormatError, match="is not a quantity"):
        q.parse_quantity(text)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("80MiB", 80 * 2**20),
        ("80 MiB", 80 * 2**20),
        ("8Gi", 8 * 2**30),
        ("8GiB", 8 * 2**30),
        ("8G", 8e9),
        ("1GB", 1e9),
        ("1.5kB", 1500),
        ("1.5KB", 1500),
        ("1PiB", 2**50),
        ("7B", 7),
    ],
)
def test_a_size_is_read_in_bytes_and_written_back(text: str, amount: float) -> None:
    assert q.parse_size(text) == amount
    assert q.parse_size(q.format_size(amount)) == amount


def test_a_plain_number_is_bytes_only_where_that_is_allowed() -> None:
    assert q.parse_size("1048576", plain_bytes=True) == 2**20
    assert q.parse_size("0", plain_bytes=True, allow_zero=True) == 0
    with pytest.raises(FormatError, match="allowed: a size such as 80MiB, 8Gi or 1GB"):
        q.parse_size("1048576")


@pytest.mark.parametrize(
    ("text", "amount"),
    [("2Gbit/s", 250e6), ("100Mbit/s", 12.5e6), ("50MB/s", 50e6), ("8bit/s", 1), ("1MiB/s", 2**20), ("1.5GB/s", 15e8)],
)
def test_a_bandwidth_is_read_in_bytes_per_second_and_written_back(text: str, amount: float) -> None:
    assert q.parse_bandwidth(text) == amount
    assert q.parse_bandwidth(q.format_bandwidth(amount)) == amount


@pytest.mark.parametrize(
    ("parse", "texts"),
    [
        (q.parse_size, ["80", "80 miB", "0MiB", "-1MiB", 80, "MiB", None, "1GB/s"]),
        (q.parse_bandwidth, ["2Gbit", "0bit/s", "1GB", 3]),
        (q.parse_rate, ["4", "4/week", "/s", "0/s", "-1/s", 4, None]),
    ],
)
def test_anything_else_is_refused(parse: Callable[[object], float], texts: list[object]) -> None:
    for text in texts:
        with pytest.raises(FormatError):
            parse(text)


@given(st.integers(1, 10**6), st.sampled_from(["s", "min", "h", "d"]))
def test_a_formatted_rate_parses_to_the_same_float(count: int, unit: str) -> None:
    per_second = q.parse_rate(f"{count}/{unit}")
    assert q.parse_rate(q.format_rate(per_second)) == per_second


@given(st.floats(min_value=0.001, max_value=1e15))
def test_a_formatted_size_or_bandwidth_parses_to_the_same_float(value: float) -> None:
    assert q.parse_size(q.format_size(value)) == value
    assert q.parse_bandwidth(q.format_bandwidth(value)) == value
