"""Requests in flight by adapter, from samples of engines."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.demand.estimate import PodSample, pod_sample, requests_by_adapter
from controller.engine.metrics import MetricsSample

PAGE = MetricsSample(requests=8.0, tokens=100.0, adapters=frozenset({"sql"}))


def samples(*named: tuple[float, str]) -> list[PodSample]:
    return [PodSample(requests, frozenset(names.split())) for requests, names in named]


def test_a_single_busy_adapter_has_all_requests() -> None:
    assert requests_by_adapter(samples(*[(30, "sql")] * 5)) == {"sql": 30}


def test_an_adapter_that_is_often_idle_is_estimated_by_how_often_it_is_named() -> None:
    estimates = requests_by_adapter(samples((30, "sql"), (30, "sql"), (30, "sql rare"), (30, "sql"), (30, "sql")))
    assert estimates["rare"] == pytest.approx(-math.log(0.8))
    assert estimates["sql"] == pytest.approx(30 + math.log(0.8))


def test_busy_adapters_share_what_the_others_do_not_explain() -> None:
    assert requests_by_adapter(samples(*[(30, "sql chat")] * 5)) == {"sql": 15, "chat": 15}


def test_one_wrong_number_has_no_effect() -> None:
    assert requests_by_adapter(samples((8, "sql"), (8, "sql"), (900_000, "sql"))) == {"sql": 8}
    assert requests_by_adapter(samples((8, "sql"), (900_000, "sql"))) == {"sql": 8}


@pytest.mark.parametrize(
    ("before", "page", "plausible"),
    [
        (None, PAGE, True),
        (None, MetricsSample(requests=None), False),  # NaN is dropped when a page is read
        (None, MetricsSample(requests=1e9), False),
        (None, MetricsSample(requests=-1), False),
        (PAGE, PAGE, False),  # 8 requests in flight, and no token since the last page
        (PAGE, MetricsSample(requests=8.0, tokens=101.0), True),
        (MetricsSample(requests=0.0, tokens=100.0), MetricsSample(requests=0.0, tokens=100.0), True),  # idle
    ],
)
def test_a_page_that_cannot_be_right_is_no_sample(
    before: MetricsSample | None, page: MetricsSample, plausible: bool
) -> None:
    assert (pod_sample(before, page) is not None) == plausible


NAMES = st.frozensets(st.sampled_from(["a", "b", "c", "d"]))
SAMPLES = st.lists(st.builds(PodSample, st.floats(0, 1e6), NAMES), max_size=8)


@settings(max_examples=30)
@given(SAMPLES)
def test_estimates_are_finite_numbers_of_the_adapters_that_are_named(values: list[PodSample]) -> None:
    estimates = requests_by_adapter(values)
    assert set(estimates) == {name for sample in values for name in sample.active}
    assert all(0 <= estimate < math.inf for estimate in estimates.values())
