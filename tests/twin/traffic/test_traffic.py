"""Traffic in whole runs: requests, routing and results."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.twin.worlds import a_scenario, adapters
from twin.evaluate import invariants
from twin.evaluate.measures import summarise
from twin.evaluate.traffic_measures import TrafficSummary
from twin.kernel.loop import run
from twin.sim.simulation import Simulation, simulate
from twin.trace.lines import AdapterLine, Line, TrafficLine
from twin.traffic.gateway import Address

RATE = {"rate": "4/s", "timeout": "20s"}


def record(folder: Path, *, traffic: dict[str, Any] | None = RATE, **sections: Any) -> list[Line]:
    given = {"adapters": [adapters(6)], **sections}
    return list(simulate(a_scenario(folder, **(given | ({"traffic": traffic} if traffic else {})))).lines)


def summary(lines: list[Line]) -> dict[str, Any]:
    result: dict[str, Any] = summarise(lines, invariants.check(lines))["traffic"]
    return result


def traffic_lines(lines: list[Line]) -> list[TrafficLine]:
    return [line for line in lines if isinstance(line, TrafficLine)]


def requests_by_adapter(lines: list[Line]) -> Counter[str]:
    return sum((Counter({line.object: line.requests}) for line in traffic_lines(lines)), Counter())


def causes(lines: list[Line]) -> Counter[str]:
    return sum((Counter(line.causes) for line in traffic_lines(lines)), Counter())


def test_without_the_section_there_is_no_traffic(tmp_path: Path) -> None:
    simulation = Simulation(a_scenario(tmp_path))
    assert simulation.traffic is None
    assert traffic_lines(record(tmp_path, traffic=None)) == []


def test_without_faults_no_request_is_misrouted_and_all_are_answered(tmp_path: Path) -> None:
    result = summary(record(tmp_path, traffic={"rate": "2/s"}, pods=4))
    assert 1000 < result["requests"] < 1400
    assert result["misrouted"] == 0
    assert result["failed"] == result["unrouted"] <= 3, "the gateway is a little behind when an adapter comes"
    assert 0.01 < result["ttft_seconds"]["p50"] < 0.1 < result["e2e_seconds"]["p50"] < 1


def test_the_operators_doings_are_the_same_with_and_without_traffic(tmp_path: Path) -> None:
    def placed(traffic: dict[str, Any] | None) -> list[AdapterLine]:
        return [line for line in record(tmp_path, traffic=traffic) if isinstance(line, AdapterLine)]

    assert placed(RATE) == placed(None)


def test_a_restarted_engine_receives_misrouted_requests_until_endpoints_are_updated(tmp_path: Path) -> None:
    faults = [{"kind": "engine-restart", "pods": "all", "at": "5m"}]
    lines = record(tmp_path, traffic={"rate": "20/s", "output_tokens": 2}, faults=faults, duration="7m")
    result = summary(lines)
    assert result["misrouted"] > 0
    assert result["failed"] >= result["misrouted"]
    assert set(causes(lines)) <= {"404", "ConnectError", "RemoteProtocolError", "no endpoint"}


def test_faults_that_hit_traffic_fail_requests_and_leave_the_operator_alone(tmp_path: Path) -> None:
    fault = {"kind": "http-error", "status": 503, "pods": "all", "callers": ["traffic"], "from": "2m", "until": "4m"}
    lines = record(tmp_path, faults=[fault])
    during = [line for line in traffic_lines(lines) if 180 < line.t <= 240]
    assert sum(line.ok for line in during) == 0
    assert causes(lines)["503"] > 300
    assert invariants.check(lines).violations == ()


def test_a_user_who_waits_too_long_gives_up(tmp_path: Path) -> None:
    fault = {"kind": "timeout", "pods": "all", "callers": ["traffic"], "from": "2m", "until": "3m"}
    assert causes(record(tmp_path, faults=[fault]))["ReadTimeout"] > 100


def test_more_adapters_than_fit_in_memory_are_cold_and_wait(tmp_path: Path) -> None:
    crowd = [adapters(20, replicas=1)]
    result = summary(record(tmp_path, adapters=crowd, pods=1, traffic={"rate": "5/s", "output_tokens": 8}))
    assert result["cold"] > 100
    assert result["queued"] > 0
    assert summary(record(tmp_path, pods=1, traffic={"rate": "5/s", "output_tokens": 8}))["cold"] == 0


def test_popular_adapters_get_more_requests(tmp_path: Path) -> None:
    template = adapters(6, popularity={"zipf": 2.0})
    lines = record(tmp_path, adapters=[template], traffic={"rate": "10/s", "output_tokens": 2})
    adapter_requests = Counter[str]()
    for line in traffic_lines(lines):
        adapter_requests[line.object] += line.requests
    assert adapter_requests["default/a-0"] / adapter_requests["default/a-1"] == pytest.approx(4, rel=0.25)
    assert adapter_requests["default/a-0"] > adapter_requests["default/a-1"] > adapter_requests["default/a-2"]


def test_an_adapter_gets_requests_from_running_until_deleted(tmp_path: Path) -> None:
    template = adapters(2, arrive={"at": "3m"}, leave={"at": "6m"})
    adapter_requests = Counter[float]()
    for line in traffic_lines(record(tmp_path, adapters=[template])):
        adapter_requests[line.t] += line.requests
    assert set(adapter_requests) <= {240.0, 300.0, 360.0, 420.0}
    assert adapter_requests[420.0] < 10 < adapter_requests[360.0], "what was under way when they were deleted"


def test_a_trace_sends_its_requests_with_its_own_lengths(tmp_path: Path) -> None:
    rows = "".join(f"{100 + i},{100 + i},7,a-1\n" for i in range(20))
    (tmp_path / "requests.csv").write_text("time,prompt_tokens,output_tokens,adapter\n" + rows)
    lines = record(tmp_path, traffic={"trace": "requests.csv", "from": "1m"})
    assert [(line.t, line.object, line.requests, line.ok) for line in traffic_lines(lines)] == [
        (180.0, "default/a-1", 20, 20)
    ]


@pytest.mark.parametrize("balance", ["least-request", "round-robin", "random"])
def test_all_endpoints_get_requests_with_any_balancing(
    tmp_path: Path, balance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = Simulation(
        a_scenario(tmp_path, traffic={"rate": "4/s", "balance": balance}, adapters=[adapters(1)], duration="3m")
    )
    adapter_requests = Counter[Address | None]()
    assert simulation.traffic is not None
    gateway = simulation.traffic._gateway
    honest = gateway.pick

    def counted(adapter: str) -> Address | None:
        address = honest(adapter)
        adapter_requests[address] += 1
        return address

    monkeypatch.setattr(gateway, "pick", counted)
    run(simulation.main(None), simulation.env)
    (_, least), (_, most) = [(address, count) for address, count in adapter_requests.items() if address is not None]
    assert least + most > 200
    assert abs(least - most) < 80


def test_another_policy_gets_the_same_requests(tmp_path: Path) -> None:
    def adapter_requests(policy: str) -> list[tuple[float, int, int, float]]:
        scenario = a_scenario(tmp_path, traffic={"rate": "1/s"}, controller={"policy": policy})
        simulation = Simulation(scenario)
        assert scenario.traffic is not None
        streams = (simulation.streams.get(name) for name in ("traffic/arrivals", "traffic/requests"))
        return [(a.at, a.prompt, a.output, a.popularity_draw) for a in scenario.traffic.generate(600, *streams)]

    assert adapter_requests("random") == adapter_requests("least-adapters")
    one, other = (summary(record(tmp_path, controller={"policy": policy})) for policy in ("random", "bin-pack"))
    assert one["requests"] == pytest.approx(other["requests"], rel=0.02)


def test_goodput_is_the_share_of_requests_whose_first_token_came_in_time(tmp_path: Path) -> None:
    shares = []
    for objective in ("1ms", "10s"):
        traffic = {"rate": "1/s", "from": "1m", "ttft_slo": objective}
        shares.append(summary(record(tmp_path, traffic=traffic, duration="3m"))["goodput"])
    assert shares == [
        {"share": 0.0, "worst_adapter": 0.0, "worst_namespace": 0.0},
        {"share": 1.0, "worst_adapter": 1.0, "worst_namespace": 1.0},
    ]


def test_the_worst_adapter_and_namespace_have_the_lowest_share() -> None:
    measured = TrafficSummary()
    for adapter, good, requests in (("a/x", 40, 40), ("a/y", 10, 40), ("b/z", 30, 40), ("b/rare", 0, 2)):
        measured.see(TrafficLine(t=60, object=adapter, seconds=60, requests=requests, good=good))
    assert measured.summary()["goodput"] == {"share": 0.655738, "worst_adapter": 0.25, "worst_namespace": 0.625}


def test_a_flash_crowd_adds_requests_for_one_adapter_and_changes_no_other(tmp_path: Path) -> None:
    crowd = {"adapter": "a-1", "rate": "4/s", "from": "2m", "until": "3m"}
    usual, crowded = (
        requests_by_adapter(record(tmp_path, traffic={"rate": "1/s", **crowds}, duration="5m"))
        for crowds in ({}, {"crowds": [crowd]})
    )
    more = crowded - usual
    assert list(more) == ["default/a-1"]
    assert 180 < more["default/a-1"] < 300
