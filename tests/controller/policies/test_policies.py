"""Choices of each built-in policy."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.cache.occupancy import Occupancy
from controller.policies import BUILT_IN, Candidate, EngineLoad, View, choose, find

POLICIES = sorted([*BUILT_IN, "default"])
EVEN = ["default", "least-adapters", "spread", "least-latency", "least-throughput", "load-aware", "rank-aware"]
"""Policies whose pods differ by at most one adapter."""

loads = st.builds(
    EngineLoad,
    latency=st.none() | st.floats(0, 100),
    throughput=st.none() | st.floats(0, 1e6),
    requests=st.none() | st.integers(0, 50).map(float),
    adapters=st.integers(0, 9),
)
pods = st.lists(
    st.builds(
        Candidate,
        name=st.integers(0, 99).map(lambda n: f"pod-{n:02}"),
        adapters=st.integers(0, 9),
        max_loras=st.integers(1, 4),
        max_cpu_loras=st.integers(4, 8),
        node=st.sampled_from(["n0", "n1", "n2"]),
        zone=st.sampled_from(["a", "b"]),
        load=st.none() | loads,
        expected_requests=st.floats(0, 100),
        max_lora_rank=st.sampled_from([0, 16, 64]),
        bytes=st.integers(0, 100),
        max_bytes=st.sampled_from([0, 60, 100]),
    ),
    unique_by=lambda pod: pod.name,
    max_size=10,
).map(lambda result: sorted(result, key=lambda pod: pod.name))


@st.composite
def views(draw: st.DrawFn) -> View:
    there = draw(pods)
    placed = draw(st.integers(0, len(there)))
    return View(
        adapter=f"default/{draw(st.sampled_from(['sql', 'chat', 'code']))}",
        count=draw(st.integers(1, 10)),
        candidates=tuple(there[placed:]),
        placed=tuple(there[:placed]),
        seed=draw(st.integers(0, 2**64 - 1)),
        rank=draw(st.sampled_from([0, 8, 64])),
        size=draw(st.sampled_from([0, 10, 50])),
    )


def a_pod(name: str, adapters: int = 0, zone: str = "", node: str = "", load: EngineLoad | None = None) -> Candidate:
    return Candidate(name, adapters, max_loras=2, max_cpu_loras=4, zone=zone, node=node, load=load)


def chosen(policy: str, candidates: Sequence[Candidate], count: int = 1, placed: Sequence[Candidate] = ()) -> list[str]:
    return list(find(policy).choose(View("default/sql", count, tuple(candidates), tuple(placed), seed=1)))


@pytest.mark.parametrize(
    ("policy", "held", "count", "best"),
    [
        ("least-adapters", {"a": 2, "b": 1, "c": 1}, 2, ["b", "c"]),
        ("default", {"a": 0, "b": 0}, 1, ["a"]),
        ("default", {"a": 5, "b": 4}, 1, ["b"]),
        ("bin-pack", {"a": 0, "b": 1, "c": 2}, 1, ["b"]),
        ("bin-pack", {"a": 2, "b": 3, "c": 4}, 1, ["b"]),
        ("bin-pack", {"a": 4, "b": 4}, 1, []),
        ("power-of-two", {"a": 3, "b": 1}, 1, ["b"]),
        ("power-of-two", {"a": 3}, 2, ["a"]),
        ("load-aware", {"a": 3, "b": 1}, 1, ["b"]),
        ("least-latency", {"a": 3, "b": 1}, 1, ["b"]),
        ("least-throughput", {"a": 3, "b": 1}, 2, ["b", "a"]),
    ],
)
def test_choices_by_number_of_adapters(policy: str, held: dict[str, int], count: int, best: list[str]) -> None:
    assert chosen(policy, [a_pod(name, adapters) for name, adapters in held.items()], count) == best


def test_a_full_pod_is_taken_only_if_all_are_full() -> None:
    small = replace(a_pod("small", 2), max_cpu_loras=2)
    large = replace(a_pod("large", 30), max_cpu_loras=64)
    for policy in set(POLICIES) - {"random"}:
        assert chosen(policy, [large, small]) == ["large"], policy
    for policy in set(POLICIES) - {"bin-pack"}:
        assert chosen(policy, [small]) == ["small"], policy


def test_spread_goes_to_another_zone_first_then_to_another_node_then_to_the_emptiest_pod() -> None:
    pods = [
        a_pod("a", 0, zone="x", node="1"),
        a_pod("b", 3, zone="y", node="2"),
        a_pod("c", 3, zone="y", node="3"),
        a_pod("d", 2, zone="y", node="3"),
    ]
    assert chosen("spread", pods, placed=[a_pod("p", zone="x", node="1")]) == ["d"]
    assert chosen("spread", pods, 3, placed=[a_pod("p", zone="x", node="1")]) == ["d", "b", "a"]
    assert chosen("spread", pods[2:], placed=[a_pod("p", zone="y", node="3")]) == ["d"]


def test_the_fastest_pod_is_the_one_with_the_least_latency_and_an_unknown_one_is_average() -> None:
    slow, quick = EngineLoad(latency=3.0, adapters=1), EngineLoad(latency=1.0, adapters=1)
    pods = [a_pod("quick", 1, load=quick), a_pod("slow", 1, load=slow), a_pod("unknown", 0)]
    assert chosen("least-latency", pods, 3) == ["quick", "unknown", "slow"]


def test_the_pod_with_the_least_throughput_has_the_fewest_tokens_to_work_on() -> None:
    pods = [
        a_pod("busy", load=EngineLoad(throughput=900.0)),
        a_pod("idle", 3, load=EngineLoad(throughput=0.0, adapters=3)),
    ]
    assert chosen("least-throughput", pods) == ["idle"]


def test_load_aware_goes_by_what_is_expected_of_the_adapters_and_not_by_their_number() -> None:
    popular = replace(a_pod("popular", 1), expected_requests=20.0)
    quiet = replace(a_pod("quiet", 3), expected_requests=0.5)
    assert chosen("load-aware", [popular, quiet]) == ["quiet"]


def test_load_aware_spreads_rarely_used_adapters() -> None:
    """Sixteen such adapters on an engine with two slots per batch delay each other."""
    hot = replace(a_pod("hot", 1), max_cpu_loras=64, expected_requests=3.0)
    crowded = replace(a_pod("crowded", 16), max_cpu_loras=64, expected_requests=2.0)
    assert chosen("load-aware", [hot, crowded]) == ["hot"]
    assert chosen("load-aware", [hot, replace(crowded, max_loras=64)]) == ["crowded"]


@given(views(), st.sampled_from(POLICIES))
def test_no_policy_chooses_twice_too_many_or_unknown_pods(view: View, policy: str) -> None:
    result = find(policy).choose(view)
    assert len(result) == len(set(result)) <= view.count
    assert set(result) <= {pod.name for pod in view.candidates}
    if policy != "bin-pack":
        assert len(result) == min(view.count, len(view.candidates)), "unknown metrics or full pods block nothing"


@given(views(), st.sampled_from(POLICIES))
def test_equal_views_give_equal_choices_and_none_needs_to_be_corrected(view: View, policy: str) -> None:
    first = choose(find(policy), view)
    again = choose(find(policy), replace(view))
    assert first == again
    assert not first.error


def burst(policy: str, adapters: int, pods: int, replicas: int = 1, load: EngineLoad | None = None) -> Counter[str]:
    """Adapters per pod after a burst in which nothing is persisted: only reservations count."""
    occupancy, chooser = Occupancy(), find(policy)
    names = [f"pod-{number:02}" for number in range(pods)]
    for adapter in range(adapters):
        key = f"default/adapter-{adapter}"
        candidates = tuple(
            Candidate(
                name,
                len(occupancy.on(f"default/{name}")),
                max_loras=2,
                max_cpu_loras=64,
                zone="ab"[number % 2],
                node=f"node-{number % 3}",
                load=load,
                expected_requests=2.5 * len(occupancy.on(f"default/{name}")),
            )
            for number, name in enumerate(names)
        )
        result = chooser.choose(View(key, replicas, candidates, seed=adapter))
        occupancy.claim(key, [f"default/{name}" for name in result])
    return Counter({name: len(occupancy.on(f"default/{name}")) for name in names})


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 3), st.sampled_from(EVEN), st.none() | loads)
def test_a_burst_is_spread_evenly_by_what_is_reserved(
    adapters: int, pods: int, replicas: int, policy: str, load: EngineLoad | None
) -> None:
    current = None if load is None else replace(load, adapters=0)
    held = burst(policy, adapters, pods, replicas, current).values()
    if policy != "spread" or replicas == 1:
        assert max(held) - min(held) <= 1
    assert sum(held) == adapters * min(replicas, pods)


@pytest.mark.parametrize(("policy", "most"), [("random", 26), ("rendezvous", 26), ("power-of-two", 13)])
def test_a_burst_is_spread_as_well_as_chance_does_it(policy: str, most: int) -> None:
    held = burst(policy, adapters=200, pods=20)
    assert min(held.values()) > 0
    assert max(held.values()) <= most


def test_a_burst_fills_pod_after_pod_with_bin_pack() -> None:
    assert sorted(burst("bin-pack", adapters=5, pods=4).values()) == [0, 1, 2, 2], "two run in one batch"


@pytest.mark.parametrize("policy", ["least-latency", "least-throughput"])
def test_one_idle_pod_does_not_get_the_whole_burst(policy: str) -> None:
    """Adapters placed after a sample are counted with the average cost of an adapter."""
    held = {f"pod-{number}": 10 for number in range(10)}
    idle = EngineLoad(latency=0.0, throughput=0.0, adapters=10)
    busy = EngineLoad(latency=2.0, throughput=50.0, adapters=10)
    for _ in range(20):
        candidates = [
            Candidate(name, adapters, max_loras=2, max_cpu_loras=64, load=idle if name == "pod-3" else busy)
            for name, adapters in held.items()
        ]
        held[chosen(policy, candidates)[0]] += 1
    assert held["pod-3"] > max(adapters for name, adapters in held.items() if name != "pod-3")
    assert held["pod-3"] < 30


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(0, 11), st.integers(1, 3))
def test_when_a_pod_goes_only_its_own_adapters_move_with_rendezvous(pods: int, gone: int, replicas: int) -> None:
    there = [a_pod(f"pod-{number}") for number in range(pods)]
    left = [pod for number, pod in enumerate(there) if number != gone % pods]
    for number in range(30):
        before = View(f"default/adapter-{number}", replicas, tuple(there))
        after = replace(before, candidates=tuple(left))
        was, is_now = (set(find("rendezvous").choose(view)) for view in (before, after))
        assert was - {f"pod-{gone % pods}"} <= is_now


@pytest.mark.parametrize(
    ("rank", "limits", "held", "best"),
    [
        (8, {"a": 64, "b": 16, "c": 16}, {"b": 2, "c": 1}, "c"),  # the tightest limit, then the fewest adapters
        (64, {"a": 64, "b": 128}, {"a": 3}, "a"),
        (8, {"a": 64, "b": 16}, {"b": 4}, "a"),  # b is full
        (0, {"a": 64, "b": 16}, {"b": 1}, "a"),  # unknown rank: the fewest adapters
        (8, {"a": 0, "b": 16}, {}, "a"),  # unknown limit
    ],
)
def test_rank_aware_chooses_the_tightest_limit_that_fits(
    rank: int, limits: dict[str, int], held: dict[str, int], best: str
) -> None:
    candidates = tuple(replace(a_pod(name, held.get(name, 0)), max_lora_rank=limits[name]) for name in limits)
    assert find("rank-aware").choose(View("default/sql", 1, candidates, rank=rank)) == [best]


@given(views())
def test_bin_pack_never_goes_beyond_slots_or_bytes_and_misses_no_pod_that_has_both(view: View) -> None:
    chosen = choose(find("bin-pack"), view).pods
    taking = {
        pod.name
        for pod in view.candidates
        if pod.adapters < pod.max_cpu_loras and (not pod.max_bytes or pod.bytes + view.size <= pod.max_bytes)
    }
    assert set(chosen) <= taking
    assert len(chosen) == min(view.count, len(taking))


@given(views())
def test_bin_pack_without_limits_of_bytes_chooses_by_number_alone(view: View) -> None:
    unlimited = replace(view, candidates=tuple(replace(pod, max_bytes=0) for pod in view.candidates))
    counted = replace(unlimited, size=0, candidates=tuple(replace(pod, bytes=0) for pod in unlimited.candidates))
    assert choose(find("bin-pack"), unlimited) == choose(find("bin-pack"), counted)


def test_bin_pack_takes_the_fullest_pod_by_bytes_that_an_adapter_still_fits() -> None:
    held = {"a": 10, "b": 70, "c": 50}
    candidates = tuple(replace(a_pod(name), bytes=size, max_bytes=100) for name, size in held.items())
    sizes = {20: ["b"], 40: ["c"], 60: ["a"], 95: []}
    for size, expected in sizes.items():
        view = View("default/sql", 1, candidates, size=size)
        assert list(choose(find("bin-pack"), view).pods) == expected, size
