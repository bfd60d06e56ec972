"""The report: its content, that it needs no other file, and its size."""

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.durations import format_clock
from tests.twin.synthetic import MEASURES, Writer, a_run
from twin.evaluate.expectations import ExpectationResult
from twin.evaluate.invariants import check
from twin.evaluate.measures import summarise
from twin.report import RunResult, build_report, format_value
from twin.report.figures.ecdf import Point, ecdf
from twin.report.svg import Figure, count_ticks, time_ticks
from twin.report.timeline import build_timeline, steps
from twin.trace.lines import Run, TrafficLine


@dataclass(frozen=True)
class Broken:
    t: float = 312.4
    invariant: int | str = 3
    object: str = "default/sql-04"
    message: str = "holds 3 replicas where 2 are wanted, for 4.2 s"
    context: tuple[int, ...] = (1, 2, 3)


def findings(**changes: Any) -> RunResult:
    return replace(
        RunResult(a_run(), MEASURES, [ExpectationResult("adapters.running == 38", "adapters.running", True, 38)]),
        **changes,
    )


class Page(HTMLParser):
    """A parsed page: tags that are not closed, and every address that a browser would fetch."""

    VOID = {"meta", "link", "br", "img"}

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        self.fetched += [v for k, v in attrs if k in ("src", "href") and v and not v.startswith(("data:", "#"))]
        self.ids += [named["id"]] if named.get("id") else []  # type: ignore[list-item]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_and_fetches_nothing() -> None:
    page = Page(build_report(findings(violations=[Broken()])).html)
    assert page.open == []
    assert page.fetched == []
    assert len(page.ids) == len(set(page.ids))


def test_the_verdict_comes_first() -> None:
    html = build_report(findings()).html
    assert html.index("38 of 40 adapters were Running at the end (2 failed), 4 were deleted") < html.index("<table")
    assert "no invariant was violated; the expectation passed." in html


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"measures": {"adapters": {"total": 43, "running": 43}}, "expectations": []},
            "All 43 adapters were Running at the end; no invariant was violated.",
        ),
        (
            {"measures": {"adapters": {"total": 1, "running": 1}}, "expectations": []},
            "The adapter was Running at the end;",
        ),
        ({"measures": {"adapters": {"total": 0}}, "expectations": []}, "No adapters existed at the end;"),
        ({"violations": [Broken(), Broken()]}, "invariants were violated 2 times, first at 5:12 by default/sql-04"),
        ({"violations": [Broken(invariant="liveness")]}, "violated once, first at 5:12 by default/sql-04 (liveness)"),
        (
            {"expectations": [ExpectationResult("a == 1", "a", False, 2), ExpectationResult("b == 1", "b", True, 1)]},
            "1 of 2 expectations failed.",
        ),
        ({"partial": True}, "Interrupted after 30:00 of 30:00. Until then: 38 of 40"),
    ],
)
def test_the_verdict_is_a_sentence(changes: dict[str, Any], said: str) -> None:
    assert said in findings(**changes).verdict()


def test_a_violation_fails_a_run_whose_expectations_hold() -> None:
    assert findings().passed
    assert not findings(violations=[Broken()]).passed


def test_a_violation_brings_the_record_around_it() -> None:
    html = build_report(findings(violations=[Broken()])).html
    assert "holds 3 replicas where 2 are wanted" in html
    assert "&#34;kind&#34;:" in html


def test_values_of_a_run_are_never_markup() -> None:
    w = Writer()
    w.pod("model-0", 0.0, ready=20.0)
    w.adapter("x", 10.0, [(11.0, "Failed")], message="<script>alert(1)</script>")
    w.request("x", "model-0", 10.5, 0.1, status=500, error="<script>alert(2)</script>")
    w.fault(0, "<script>alert(3)</script>", 5.0, 20.0, ["default/<b>"])
    html = build_report(findings(lines=w.lines, scenario="<script>alert(4)</script>")).html
    own = html.index("<script>")
    assert "<script" not in html[:own]
    assert html[own:].count("<script") == html[own:].count("</script>") == 1
    assert "<b>" not in html


def test_the_same_findings_give_the_same_bytes() -> None:
    one, other = build_report(findings()), build_report(findings())
    assert one.html == other.html
    assert [f.standalone() for f in one.figures] == [f.standalone() for f in other.figures]


def test_every_figure_is_a_separate_file_with_a_description() -> None:
    figures = build_report(findings()).figures
    assert [f.name for f in figures] == [
        "time-to-running",
        "phases",
        "adapters-per-pod",
        "adapter-timelines",
        "request-rates",
    ]
    for figure in figures:
        root = ET.fromstring(figure.standalone())
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.find("{http://www.w3.org/2000/svg}desc").text == figure.alt  # type: ignore[union-attr]
        assert "prefers-color-scheme: dark" in figure.standalone()


@pytest.mark.parametrize("never", [0, 2])
def test_the_curve_shows_the_same_median_as_the_tile(never: int) -> None:
    writer = Writer()
    for i, t in enumerate((30.0, 35.0, 37.0, 40.0)):
        writer.adapter(f"a-{i}", 0.0, [(t, "Running")])
    for i in range(never):
        writer.adapter(f"never-{i}", 0.0, [(1.0, "Pending")])
    measures = summarise(writer.lines, check(writer.lines))
    curve = build_report(RunResult(writer.lines, measures, [])).figures[0]
    assert measures["time_to_running_seconds"]["p50"] == 36.0
    assert ">median 36.0 s<" in curve.body
    assert ">95th percentile 39.5 s<" in curve.body
    assert ("are of the others" in curve.caption) == bool(never)


def test_no_figure_draws_beyond_its_frame() -> None:
    for figure in build_report(findings()).figures:
        for x in re.findall(r'<(?:rect|circle|text)[^>]*? c?x="(-?[\d.]+)"', figure.body):
            assert 0 <= float(x) <= figure.width, figure.name


def test_a_fleet_stays_below_two_megabytes() -> None:
    html = build_report(findings(lines=a_run(pods=100, adapters=1000, duration=3600.0))).html
    assert len(html.encode()) < 2_000_000
    assert "the 40 most eventful of 1000" in html
    assert "data:image/png;base64," in html


def asked(t: float, adapter: str = "default/sql-01", **counts: Any) -> TrafficLine:
    """Return the line of a minute of an adapter: ten requests, all answered by default."""
    given: dict[str, Any] = {"requests": 10, "ok": 10, "first_token_seconds": [0.05] * 10, **counts}
    return TrafficLine(t=t, object=adapter, seconds=60.0, end_to_end_seconds=given["first_token_seconds"], **given)


def drawn(*lines: TrafficLine) -> dict[str, Figure]:
    record = sorted([*a_run(), *lines], key=lambda line: line.t)
    return {figure.name: figure for figure in build_report(findings(lines=record)).figures}


def test_without_traffic_nothing_is_drawn_of_it() -> None:
    assert not {"traffic", "user-latency"} & {figure.name for figure in build_report(findings()).figures}


def test_user_requests_are_drawn_by_outcome() -> None:
    failed = asked(120, ok=3, misrouted=4, causes={"404": 4, "no endpoint": 2, "503": 1}, first_token_seconds=[0.1] * 3)
    figure = drawn(asked(60), failed)["traffic"]
    assert figure.alt.startswith(
        "20 requests, 13 successful, 4 misrouted, 2 without endpoint; time to first token 0.05 s"
    )
    for words in ("misrouted", "no endpoint", "other", "Delayed requests", "Time to first token"):
        assert f">{words}</text>" in figure.body
    assert figure.body.count(">none</text>") == 1, "an empty result is a line of text, not an empty frame"


def test_cold_and_queued_requests_are_drawn_apart_for_one_may_be_both() -> None:
    body = drawn(asked(60, cold=10, queued=10))["traffic"].body
    assert "queued in the engine" in body
    assert body.count('class="line one"') == 2, "queued, and the median of first tokens"


def test_minutes_without_answers_break_the_line() -> None:
    one, two = (drawn(asked(60), asked(120), asked(t), asked(t + 60))["traffic"].body for t in (180, 900))
    assert two.count('class="line one"') == one.count('class="line one"') + 1


def test_adapters_are_listed_by_number_of_requests_with_their_latencies() -> None:
    busy = [asked(60.0 * (i + 1), "default/sql-09", first_token_seconds=[0.2] * 10) for i in range(3)]
    silent = asked(60, "default/sql-07", ok=0, causes={"503": 10}, first_token_seconds=[])
    figure = drawn(*busy, asked(60), silent)["user-latency"]
    assert figure.alt.startswith("Median latency by adapter, those with the most requests first. default/sql-09: ")
    assert figure.body.index("sql-09") < figure.body.index("sql-01")
    assert "none succeeded" in figure.body


def test_only_the_most_requested_adapters_are_drawn() -> None:
    crowd = [asked(60, f"default/sql-{i:02}", requests=100 - i) for i in range(60)]
    assert "The 40 adapters with the most requests of 60." in drawn(*crowd)["user-latency"].caption


def test_the_page_has_the_number_of_answered_requests() -> None:
    traffic = {"requests": 2000, "ok": 1999, "misrouted": 1, "ttft_seconds": {"p50": 0.02, "p95": 0.05}}
    html = build_report(findings(measures={**MEASURES, "traffic": traffic})).html
    assert "99.95 %<small>of 2,000; 1 misrouted" in html


def test_ten_thousand_adapters_stay_below_five_megabytes() -> None:
    lines = a_run(pods=300, adapters=10_000, duration=1800.0)
    traffic = [asked(60.0 * (m + 1), f"default/sql-{i}") for m in range(30) for i in range(400)]
    html = build_report(findings(lines=sorted([*lines, *traffic], key=lambda line: line.t))).html
    assert len(html.encode()) < 5_000_000


def test_a_run_in_which_nothing_happened_has_a_page_too() -> None:
    report = build_report(findings(lines=Writer().lines, measures={}, expectations=[]))
    assert report.figures == []
    assert "No adapters existed at the end" in report.html


def test_adapters_that_do_not_run_are_named_with_their_reason() -> None:
    assert "LoRA rank 64 is greater than max_lora_rank 16 &lt;sql-00&gt;." in build_report(findings()).html


@given(st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=25)
def test_a_record_with_holes_in_it_is_drawn_all_the_same(luck: Random) -> None:
    lines = a_run(pods=3, adapters=12, duration=1200.0)
    kept = lines[:1] + [line for line in lines[1:] if luck.random() < 0.7]
    assert build_report(findings(lines=kept)).html


def test_events_are_summed_up_by_reason() -> None:
    html = build_report(findings()).html
    assert '<td>Switched</td><td class="number">8</td>' in html


def test_a_record_without_its_first_line_is_refused() -> None:
    with pytest.raises(ValueError, match='does not start with a "run" line'):
        build_timeline(a_run()[1:])


def test_the_timeline_has_the_events_of_the_trace() -> None:
    story = build_timeline(a_run())
    refused = next(a for a in story.adapters if a.name == "default/sql-04")
    assert [a.failed for a in refused.attempts] == [True] * 6 + [False]
    assert len(refused.switches) == 1
    assert refused.time_to_running is not None
    assert refused.time_to_running > 150
    assert next(a for a in story.adapters if a.name == "default/sql-00").time_to_running is None
    assert [f.kind for f in story.faults] == ["connection-refused", "engine-restart", "pod-kill"]


def test_a_restarted_engine_has_no_adapters() -> None:
    story = build_timeline(a_run())
    assert any(count == 0 for t, count in story.pods[1].loaded if t == 900.0)


def test_an_interrupted_run_ends_where_its_record_ends() -> None:
    lines = [line for line in a_run() if line.t < 700]
    assert build_timeline(lines, partial=True).end < 700
    assert isinstance(lines[0], Run)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (754, "12:34"), (3600, "1:00:00"), (7325, "2:02:05")],
)
def test_times_are_written_as_clocks(seconds: float, said: str) -> None:
    assert format_clock(seconds) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "—"),
        (40, "40"),
        (12345, "12,345"),
        (0.99321, "0.9932"),
        (159.2, "159.2"),
        (0.999996, "0.999996"),
        (120.0, "120"),
    ],
)
def test_numbers_are_written_for_people(value: float | None, said: str) -> None:
    assert format_value(value) == said


@given(st.floats(min_value=1, max_value=1e7))
@settings(deadline=None)
def test_an_axis_has_a_few_ticks_and_none_beyond_its_end(end: float) -> None:
    ticks = time_ticks(end)
    assert 1 <= len(ticks) <= 11
    assert ticks[0] == 0
    assert ticks[-1] <= end


@given(st.integers(min_value=0, max_value=10**7))
@settings(deadline=None)
def test_count_ticks_reach_the_highest_count(highest: int) -> None:
    ticks = count_ticks(highest)
    assert 2 <= len(ticks) <= 7
    assert ticks[-1] >= highest


@pytest.mark.parametrize("much", [1, 12])
def test_a_legend_of_long_names_stays_in_its_frame_and_distinguishes_them(much: int) -> None:
    names = [f"controller.retry.retries={n}, {'controller.retry.base=2s, ' * much}policy={n}" for n in range(8)]
    drawn = ecdf("e", "Times", {name: [Point(1.0, "")] for name in names}, "seconds")
    assert drawn is not None
    root = ET.fromstring(drawn.standalone())
    svg = "{http://www.w3.org/2000/svg}"
    format_value = [each for each in root.iter(f"{svg}text") if "policy=" in (each.text or "")]
    assert len({each.text for each in format_value}) == len({each.get("y") for each in format_value}) == len(names)
    assert all(float(each.get("x", "")) + 6.6 * len(each.text or "") <= drawn.width for each in format_value)
    assert len({rect.get("class") for rect in root.iter(f"{svg}rect")}) == len(names)
    whole = {each.text for each in root.iter() if each.tag in (f"{svg}title", f"{svg}text")}
    assert whole >= set(names), "one that is cut is whole where the pointer rests"


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(-3, 3))))
@settings(deadline=None)
def test_steps_end_at_the_sum_of_all_changes(changes: list[tuple[float, float]]) -> None:
    levels = steps(changes)
    assert (levels[-1][1] if levels else 0) == sum(change for _, change in changes)
    assert [t for t, _ in levels] == sorted({t for t, _ in changes})
