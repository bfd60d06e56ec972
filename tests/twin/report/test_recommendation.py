"""The recommendation of a comparison, directions of measures, and numbers as people write them."""

import pytest

from twin.evaluate.statistics import Comparison
from twin.report.directions import USERS, direction, verdict
from twin.report.figures.forest import forest
from twin.report.recommendation import recommend
from twin.report.wording import HEADLINES, format_measure, format_number
from twin.scenario import MEASURES


def compared(measure: str, base: float, variant: float, *, name: str = "b", significant: bool = True) -> Comparison:
    difference = variant - base
    return Comparison(
        measure=measure, variant=name, pairs=10, baseline_mean=base, variant_mean=variant, difference=difference,
        ci_low=difference * 1.5, ci_high=difference * 0.5, p_raw=0.002, p_value=0.002, significant=significant,
        settled=significant, seeds_to_settle=None,
    )  # fmt: skip


LONGER = compared("time_to_running_seconds.p95", 3.0, 9.0)
SHORTER = compared("time_to_running_seconds.p95", 9.0, 3.0)
FEWER_LOADS = compared("loads.attempted", 100.0, 80.0)
MORE_LOADS = compared("loads.attempted", 80.0, 100.0)
PLACED_OTHERWISE = compared("placement.jain", 0.7, 0.9)


@pytest.mark.parametrize(
    ("comparisons", "sentence"),
    [
        ([PLACED_OTHERWISE], "Keep a: no variant differs significantly."),
        ([LONGER], "Keep a: no variant is better in a main measure."),
        ([SHORTER], "Use b instead of a: p95 time to Running 6 s shorter, and no main measure is worse."),
        (
            [LONGER, FEWER_LOADS],
            "Use b only if 20 % fewer loads outweighs p95 time to Running 6 s longer; otherwise keep a.",
        ),
        (
            [SHORTER, MORE_LOADS],
            "Use b only if p95 time to Running 6 s shorter outweighs 25 % more loads; otherwise keep a.",
        ),
        (
            [compared("time_to_running_seconds.p95", 9, 3, significant=False)],
            "Keep a: no variant differs significantly.",
        ),
    ],
)
def test_the_recommendation_names_its_condition(comparisons: list[Comparison], sentence: str) -> None:
    assert recommend("a", {"b": comparisons}) == sentence


def test_the_variant_that_costs_users_nothing_is_recommended_before_the_one_that_saves_most() -> None:
    cheap = [LONGER, FEWER_LOADS, compared("migrations", 10, 0), compared("pod_switches", 10, 0)]
    assert recommend("a", {"cheap": cheap, "quick": [SHORTER]}).startswith("Use quick instead of a")


def test_a_variant_that_broke_an_invariant_is_never_recommended() -> None:
    assert recommend("a", {"b": [SHORTER]}, ["b"]).startswith("Keep a: in every other variant a run crashed")


def test_variants_of_the_world_are_described_instead_of_recommended() -> None:
    found = recommend("112", {"128": [PLACED_OTHERWISE], "144": [LONGER]}, choice=False)
    assert found == (
        "Compared with 112, users notice no harm at 128; at 144 users notice: p95 time to Running 6 s longer."
    )


def test_every_measure_has_a_direction_and_placements_have_neither() -> None:
    assert all(direction(name) in ("lower", "higher", "neither") for name in MEASURES)
    assert {name for name in MEASURES if direction(name) == "higher"} == {
        "availability", "availability_worst.adapter", "availability_worst.namespace", "adapters.running", "traffic.ok",
        "traffic.goodput.share", "traffic.goodput.worst_adapter", "traffic.goodput.worst_namespace",
        "traffic.fairness.adapters", "traffic.fairness.namespaces",
    }  # fmt: skip
    placements = {name for name in MEASURES if name.startswith("placement.")} - {"placement.slot_hours"}
    assert all(direction(name) == "neither" for name in placements), "slots are a cost, as GPU hours are"
    assert set(USERS) <= set(HEADLINES)
    assert all(direction(name) != "neither" for name in USERS)


@pytest.mark.parametrize(
    ("comparison", "word"),
    [
        (LONGER, "worse"),
        (SHORTER, "better"),
        (compared("availability", 0.9, 0.99), "better"),
        (PLACED_OTHERWISE, "higher"),
        (compared("loads.attempted", 5, 5), "same"),
    ],
)
def test_the_verdict_follows_the_direction_of_the_measure(comparison: Comparison, word: str) -> None:
    assert verdict(comparison) == word


@pytest.mark.parametrize(
    ("measure", "value", "sign", "written"),
    [
        ("traffic.ttft_seconds.p95", 0.02921, False, "29.2 ms"),
        ("traffic.ttft_seconds.p95", 0.0000115, True, "+11.5 µs"),
        ("traffic.ttft_seconds.p95", -4.301, True, "-4.3 s"),
        ("unavailable_adapter_seconds", 747.89, False, "748 s"),
        ("unavailable_adapter_seconds", 0.0, False, "0 s"),
        ("availability", 0.9998906, False, "99.989 %"),
        ("availability", -0.0121437, True, "-1.21 points"),
        ("placement.adapters_per_pod.cv", 1.762e-05, True, "+0.00001762"),
        ("api_requests.total", 3692.8, False, "3,693"),
        ("api_requests.total", None, False, "—"),
    ],
)
def test_numbers_are_in_the_unit_in_which_people_write_them(
    measure: str, value: float | None, sign: bool, written: str
) -> None:
    assert format_measure(measure, value, sign=sign) == written


@pytest.mark.parametrize(
    ("value", "written"), [(0.0, "0"), (0.1, "0.1"), (28.0, "28"), (1e-7, "0.0000001"), (12345.6, "12,346")]
)
def test_a_number_has_no_exponent(value: float, written: str) -> None:
    assert format_number(value) == written


def test_nothing_falls_by_more_than_all_of_it_and_growth_is_a_factor() -> None:
    fallen, grown = compared("loads.redundant", 10.0, 0.0), compared("traffic.cold", 1.0, 120.0)
    from_zero = compared("traffic.cold", 0.0, 114.0, name="c")
    figure = forest([fallen, grown, from_zero], ["a", "b", "c"])
    assert figure is not None
    assert ">-100 % [-100 % to -50 %] better<" in figure.body
    assert ">120x [180x to 60x] worse<" in figure.body
    assert ">+114 worse<" in figure.body
