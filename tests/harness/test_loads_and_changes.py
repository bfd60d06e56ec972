"""Slow and failed loads, and changes by users, as visible from outside."""

from pathlib import Path
from typing import Any

import pytest

from tests.harness.story import ADAPTERS, ENGINES, one, run_story
from tests.twin.worlds import MODEL, adapters, deployment
from twin.sim.simulation import Simulation
from twin.trace.lines import AdapterLine, ApiLine, EngineLine, Line, LogLine, RequestLine

NEW: dict[str, Any] = {"spec": {"artifactURL": "huggingface://acme/second"}}


def taking(load: str) -> dict[str, Any]:
    """A cluster whose engines take `seconds` for a load."""
    return {**ENGINES, "engines": {"default": {"startup": "2s", "load": load, "unload": "50ms"}}}


def edit(patch: dict[str, Any], at: str = "3m") -> list[dict[str, Any]]:
    return [{"at": at, "of": "ModelAdapter/a-0", "patch": patch}]


def ended(lines: list[Line], verb: str) -> list[RequestLine]:
    requests = [line for line in lines if isinstance(line, RequestLine)]
    return [line for line in requests if (line.event, line.verb) == ("done", verb)]


# -- loads


def test_each_phase_is_written_before_its_work_starts(tmp_path: Path) -> None:
    story = run_story(tmp_path, adapters=one(), duration="2m")
    phases: list[str] = []
    for line in story.lines:
        match line:
            case AdapterLine(phase=phase) if phase not in ("", *phases):
                phases.append(phase)
            case RequestLine(verb="load", event="sent"):
                assert phases == ["Pending", "Scheduled", "Loading"]
            case ApiLine(resource="services"):
                assert phases == ["Pending", "Scheduled", "Loading", "Bound"]
    assert phases == ["Pending", "Scheduled", "Loading", "Bound", "Running"]


@pytest.mark.parametrize(
    "slow",
    [
        pytest.param({"cluster": {**ENGINES, "api": {"latency": "1100ms"}}}, id="an API server that takes its time"),
        pytest.param({"controller": {"kube_api_qps": 1.0, "kube_api_burst": 1}}, id="a limit of its own requests"),
    ],
)
def test_slow_writes_delay_a_load_and_do_not_prevent_it(slow: dict[str, Any], tmp_path: Path) -> None:
    story = run_story(tmp_path, adapters=one(), duration="3m", **slow)
    (load,) = story.sent("load")
    assert load.t < 30 + 8, "four writes come before it"
    announced = [line.attempts for line in story.status_lines() if line.attempts]
    assert len({str(attempts) for attempts in announced}) == 1
    assert story.adapter()["status"]["phase"] == "Running"
    assert story.violations == []


def test_an_adapter_needs_ten_requests_to_become_running(tmp_path: Path) -> None:
    story = run_story(tmp_path, adapters=one(), duration="2m")
    writes = [line for line in story.lines if isinstance(line, ApiLine) and line.resource != "leases" and line.t > 29]
    assert len(writes) == 10


def test_a_load_that_takes_minutes_is_not_abandoned(tmp_path: Path) -> None:
    story = run_story(tmp_path, cluster=taking("200s"), adapters=one(), duration="6m")
    assert len(story.sent("load")) == 1
    assert story.adapter()["status"]["phase"] == "Running"


def test_the_adapters_timeout_applies_to_its_loads(tmp_path: Path) -> None:
    patient = one(additionalConfig={"timeout": "10s"})
    story = run_story(tmp_path, cluster=taking("1m"), adapters=patient, duration="50s")
    (answer,) = [line for line in ended(story.lines, "load") if line.t < 45]
    assert answer.t - story.sent("load")[0].t == pytest.approx(10, abs=0.1)


def test_a_load_that_timed_out_and_ended_later_counts_as_loaded(tmp_path: Path) -> None:
    hasty = one(additionalConfig={"timeout": "2s"})
    story = run_story(tmp_path, cluster=taking("4s"), adapters=hasty, duration="2m")
    assert [line.status for line in ended(story.lines, "load")] == [0, 400], "the name is taken, by the right artifact"
    assert story.adapter()["status"]["phase"] == "Running"
    assert [reason for reason, _ in story.event_notes()] == ["Scheduled", "Loaded"]


def test_a_load_whose_response_was_lost_is_verified_and_not_sent_again(tmp_path: Path) -> None:
    lost = {"kind": "connection-reset", "after": True, "adapters": ["a-0"], "from": "0s", "until": "40s"}
    story = run_story(tmp_path, pods=1, adapters=one(), faults=[lost], duration="2m")
    assert len(story.sent("load")) == 1
    assert story.adapter()["status"]["phase"] == "Running"


def test_a_final_error_fails_at_once_without_trying_other_pods(tmp_path: Path) -> None:
    broken = {"kind": "invalid-adapter", "adapters": ["a-0"], "from": "0s"}
    story = run_story(tmp_path, adapters=one(), faults=[broken], duration="4m")
    assert len(story.sent("load")) == 1
    assert story.adapter()["status"]["phase"] == "Failed"
    assert "tried again when the spec changes, or every 5 min" in story.conditions()["Ready"][2]
    assert [reason for reason, _ in story.event_notes()] == ["Scheduled", "LoadFailed"]


def test_the_log_names_adapter_pod_attempt_route_and_error_class(tmp_path: Path) -> None:
    broken = {"kind": "invalid-adapter", "adapters": ["a-0"], "from": "0s"}
    story = run_story(tmp_path, adapters=one(), faults=[broken], duration="1m")
    (message,) = [line.text for line in story.lines if isinstance(line, LogLine)]
    pod = story.sent("load")[0].object.split("/")[1]
    assert message.startswith("load failed, no retry adapter=default/a-0 attempt=1 error=")
    assert message.endswith(f"error_class=InvalidAdapter pod={pod} route=direct")


def test_a_pod_that_refuses_the_key_is_replaced_by_one_that_accepts_it(tmp_path: Path) -> None:
    first = run_story(tmp_path, pods=2, adapters=one(), duration="1m").sent("load")[0].object.split("/")[1]
    refused = {"kind": "unauthorized", "pods": {"names": [first]}, "from": "0s"}
    story = run_story(tmp_path, pods=2, adapters=one(), faults=[refused], duration="2m")
    assert story.holders() == [pod for pod in story.held if pod != first]


def test_no_engine_gets_more_than_two_concurrent_loads_and_a_burst_spreads(tmp_path: Path) -> None:
    many = [adapters(32, replicas=1, arrive={"at": "30s"})]
    story = run_story(tmp_path, pods=8, adapters=many, duration="3m")
    under_way: dict[str, int] = {}
    for line in story.lines:
        if isinstance(line, RequestLine):
            under_way[line.object] = under_way.get(line.object, 0) + (1 if line.event == "sent" else -1)
            assert under_way[line.object] <= 2
    assert [len(held) for held in story.held.values()] == [4] * 8


def test_a_pod_with_several_adapters_is_behind_several_services(tmp_path: Path) -> None:
    story = run_story(tmp_path, pods=1, adapters=[adapters(3, replicas=1)], duration="2m")
    (pod,) = story.held
    assert [story.published(f"a-{number}") for number in range(3)] == [[pod]] * 3


# -- changes


def test_a_changed_artifact_rolls_pod_by_pod_and_one_replica_serves_at_any_time(tmp_path: Path) -> None:
    story = run_story(tmp_path, adapters=[adapters(1)], edits=edit(NEW), duration="5m")
    assert [held["a-0"] for held in story.held.values() if "a-0" in held] == ["acme/second"] * 2
    serving = [len(line.instances) for line in story.status_lines() if line.t > 179]
    assert min(serving) == 1
    assert story.violations == []


def test_scaling_does_not_touch_the_remaining_replicas(tmp_path: Path) -> None:
    edits = [*edit({"spec": {"replicas": 3}}), *edit({"spec": {"replicas": 1}}, "4m")]
    story = run_story(tmp_path, adapters=[adapters(1)], edits=edits, duration="6m")
    assert len(story.holders()) == 1
    assert (len(story.sent("load")), len(story.sent("unload"))) == (3, 2)


def test_zero_replicas_unload_it_everywhere_and_keep_the_object(tmp_path: Path) -> None:
    story = run_story(tmp_path, adapters=[adapters(1)], edits=edit({"spec": {"replicas": 0}}), duration="5m")
    assert story.holders() == []
    assert story.conditions()["Scheduled"][1:] == ("ScaledToZero", "replicas is 0")


def test_new_pods_get_an_adapter_for_every_pod(tmp_path: Path) -> None:
    edits = [{"at": "3m", "of": f"Deployment/{MODEL}", "patch": {"spec": {"replicas": 5}}}]
    story = run_story(tmp_path, adapters=[adapters(1, replicas=None)], edits=edits, duration="5m")
    assert len(story.holders()) == 5
    assert story.published() == story.holders()


def test_a_rollout_of_the_base_model_moves_the_adapter_to_the_new_pods(tmp_path: Path) -> None:
    rollout = {"kind": "rollout", "deployment": MODEL, "at": "3m"}
    story = run_story(tmp_path, adapters=[adapters(1, replicas=None)], faults=[rollout], duration="7m")
    assert sorted(story.held) == story.holders() == story.published()
    assert story.violations == []


@pytest.mark.parametrize(("grace", "moves"), [("0s", 1), ("20s", 0)])
def test_within_the_unready_grace_nothing_moves(grace: str, moves: int, tmp_path: Path) -> None:
    def unready(simulation: Simulation, expected: bool) -> None:
        pod = story_pod(simulation)
        if pod:
            simulation.world.force_unready(f"default/{pod}", expected)

    kept: list[str] = []

    def story_pod(simulation: Simulation) -> str:
        kept.extend(simulation.store.get(ADAPTERS, "default", "a-0")["status"].get("instances", []))
        return kept[0]

    story = run_story(
        tmp_path,
        (120, lambda simulation: unready(simulation, True)),
        (130, lambda simulation: unready(simulation, False)),
        pods=2,
        adapters=one(),
        controller={"unready_grace": grace},
        duration="4m",
    )
    assert len(story.sent("load")) == 1 + moves


def test_an_engine_that_restarts_in_place_gets_its_adapters_back_as_soon_as_it_is_stable(tmp_path: Path) -> None:
    restart = {"kind": "engine-restart", "pods": {"count": 1}, "at": "3m"}
    story = run_story(tmp_path, pods=1, adapters=one(), faults=[restart], duration="5m")
    again = [line.t for line in story.lines if isinstance(line, EngineLine) and line.event == "loaded"][-1]
    assert again - 180 < 2 + 2 + 1 + 5 + 1 + 1  # start, a probe, whole seconds, stable, load, and a bit
    assert story.violations == []


BLIND: list[dict[str, Any]] = [
    {"kind": "watch-drop", "from": "60s", "until": "240s"},
    {"kind": "engine-restart", "pods": "all", "at": "65s"},
]
"""All engines restart unnoticed; an audit finds them empty, and the adapter is loaded again."""


def test_a_load_before_a_restart_was_noticed_serves_afterwards(tmp_path: Path) -> None:
    story = run_story(tmp_path, pods=1, adapters=one(), faults=BLIND, duration="10m")
    assert story.published() == story.holders() != []
    assert story.conditions()["Ready"][0] == "True"
    assert len(story.sent("load")) == 2, "once for each incarnation"
    assert not story.violations


def test_a_load_before_a_restart_was_noticed_is_unloaded_if_not_desired(tmp_path: Path) -> None:
    gone = [{"at": "300s", "of": "ModelAdapter/a-0", "delete": True}]
    story = run_story(tmp_path, pods=1, adapters=one(), faults=BLIND, edits=gone, duration="10m")
    assert len(story.sent("load")) == 2
    assert story.holders() == []
    assert not story.violations


def test_a_load_before_a_restart_was_noticed_serves_after_a_restart_of_the_operator(tmp_path: Path) -> None:
    crash = {"kind": "controller-crash", "at": "150s", "restart_after": "2s"}
    story = run_story(tmp_path, pods=1, adapters=one(), faults=[*BLIND, crash], duration="10m")
    assert len(story.sent("load")) == 2
    assert story.published() == story.holders() != []
    assert not story.violations


def test_a_load_before_a_restart_was_noticed_is_unloaded_when_the_adapter_moves(tmp_path: Path) -> None:
    unwell = {
        "kind": "http-error",
        "status": 503,
        "callers": ["probes"],
        "pods": {"count": 1},
        "from": "200s",
        "until": "6m",
    }
    story = run_story(tmp_path, pods=2, seed=6, adapters=one(), faults=[*BLIND, unwell], duration="10m")
    assert len({line.object for line in story.sent("load")}) == 2, "it had to move"
    assert story.published() == story.holders()
    assert len(story.holders()) == 1
    assert not story.violations


def test_unloads_queued_behind_hanging_ones_are_made_later(tmp_path: Path) -> None:
    hung = {"kind": "timeout", "callers": ["controller", "probes"], "pods": {"count": 1}, "from": "2m", "until": "2m8s"}
    story = run_story(
        tmp_path, pods=2, adapters=[adapters(8, replicas=1, arrive={"at": "30s"})], faults=[hung], duration="6m"
    )
    (pod,) = {line.object for line in ended(story.lines, "unload") if line.error}
    waited = [line for line in story.lines if isinstance(line, RequestLine) and line.object == pod and line.t > 128]
    assert {line.adapter for line in waited if line.verb == "unload"} > {line.adapter for line in waited if line.error}
    assert all(len(story.holders(f"a-{number}")) == 1 for number in range(8))
    assert not story.violations


def test_conflicting_writes_delay_an_adapter_by_less_than_a_backoff(tmp_path: Path) -> None:
    many = [adapters(20, replicas=2, arrive={"poisson": "6/min", "from": "1m"})]
    conflicts = {"kind": "api-conflict", "probability": 0.5}
    story = run_story(tmp_path, pods=8, adapters=many, faults=[conflicts], duration="6m")
    for number in range(20):
        statuses = story.status_lines(f"a-{number}")
        ran = next(line.t for line in statuses if line.phase == "Running")
        assert ran - statuses[0].t < 5.0, "the first wait of the backoff is five seconds"


def test_a_deletion_waits_until_an_unavailable_engine_is_back(tmp_path: Path) -> None:
    away = {"kind": "connection-refused", "from": "2m50s", "until": "4m"}
    edits = [{"at": "3m", "of": "ModelAdapter/a-0", "delete": True}]
    story = run_story(tmp_path, adapters=[adapters(1)], faults=[away], edits=edits, duration="8m")
    assert story.status_lines()[-1].event == "deleted"
    assert 240 < story.status_lines()[-1].t < 240 + 40
    assert story.holders() == []


def test_an_unavailable_engine_delays_a_deletion_by_six_attempts_with_an_event(tmp_path: Path) -> None:
    away = {"kind": "connection-refused", "from": "2m50s"}
    edits = [{"at": "3m", "of": "ModelAdapter/a-0", "delete": True}]
    story = run_story(tmp_path, pods=1, adapters=one(), faults=[away], edits=edits, duration="8m")
    (pod,) = story.held
    assert story.status_lines()[-1].t - 180 == pytest.approx(155, abs=1)
    assert story.event_notes()[-1] == ("UnloadAbandoned", f"Gave up unloading from pod {pod}: connection refused")


def test_an_abandoned_load_does_not_complete_unnoticed_after_the_deletion(tmp_path: Path) -> None:
    hasty = one(additionalConfig={"timeout": "2s"})
    edits = [{"at": "34s", "of": "ModelAdapter/a-0", "delete": True}]
    story = run_story(tmp_path, cluster=taking("30s"), adapters=hasty, edits=edits, duration="3m")
    assert "loaded" in [line.event for line in story.lines if isinstance(line, EngineLine)]
    assert story.holders() == []
    assert story.violations == []


# -- what only users can mend


@pytest.mark.parametrize(
    ("spec", "reason", "message"),
    [
        ({"schedulerName": "luck"}, "UnknownScheduler", "allowed: bin-pack, default, "),
        ({"artifactURL": "s3://bucket/x/"}, "UnsupportedArtifact", "sidecar"),
        ({"apiKeySecretRef": {"name": "none", "key": "k"}}, "SecretNotFound", "create it with the key 'k'"),
        ({"additionalConfig": {"timeout": "soon"}}, "InvalidTimeout", "allowed: seconds, or 120s, 2m"),
    ],
)
def test_problems_are_reported_once_with_the_next_step_and_cause_no_loop(
    spec: dict[str, Any], reason: str, message: str, tmp_path: Path
) -> None:
    story = run_story(tmp_path, adapters=one(**spec), duration="10m")
    assert story.adapter()["status"]["phase"] == "Failed"
    result = story.conditions()["Ready"]
    assert result[:2] == ("False", reason)
    assert message in result[2]
    assert [event for event, _ in story.event_notes()] == [reason]
    writes = [line for line in story.lines if isinstance(line, ApiLine) and line.resource == "modeladapters"]
    assert len(writes) <= 4
    assert story.sent("load") == []


def test_a_key_from_a_secret_is_used_and_its_rotation_noticed(tmp_path: Path) -> None:
    """The engines accept only the second key, which is in the Secret after three minutes."""
    old, new = "sk-" + "o" * 24, "sk-" + "n" * 24
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "engine", "namespace": "default"},
        "stringData": {"key": old},
    }
    keyed = one(apiKeySecretRef={"name": "engine", "key": "key"})
    rotated = [{"at": "3m", "of": "Secret/engine", "patch": {"stringData": {"key": new}}}]
    story = run_story(tmp_path, objects=[deployment(2, key=new), secret], adapters=keyed, edits=rotated, duration="5m")
    assert "Unauthorized" in [reason for line in story.status_lines() for _, reason in line.conditions.values()]
    runs = next(line.t for line in story.status_lines() if line.phase == "Running")
    assert 180 < runs < 180 + 61
    assert story.violations == []


def test_unreadable_annotations_are_reported_and_reset(tmp_path: Path) -> None:
    mess = {
        "adapter.model.aibrix.ai/placements": "{",
        "adapter.model.aibrix.ai/retry-count.x": "many",
        "adapter.model.aibrix.ai/last-retry-time.x": "soon",
    }
    story = run_story(tmp_path, adapters=one(), edits=edit({"metadata": {"annotations": mess}}), duration="5m")
    assert story.adapter()["status"]["phase"] == "Running"
    assert "AnnotationsUnreadable" in [reason for reason, _ in story.event_notes()]
    assert not any("retry" in key for key in story.adapter()["metadata"]["annotations"])
    assert len(story.sent("load")) == 1
    assert story.violations == []


def test_in_a_burst_the_first_adapters_run_before_the_last_are_begun(tmp_path: Path) -> None:
    slow = {"kind": "api-slow", "factor": 20, "from": "0s", "until": "3m"}
    burst = [adapters(40, replicas=1, arrive={"at": "30s"})]
    workers = {"max_concurrent_reconciles": 4}
    story = run_story(tmp_path, pods=10, adapters=burst, faults=[slow], controller=workers, duration="1m")
    running = [line for line in story.lines if isinstance(line, AdapterLine) and line.phase == "Running"]
    loads = [line.t for line in story.lines if isinstance(line, RequestLine) and line.verb == "load"]
    assert len({line.object for line in running}) == 40
    assert min(line.t for line in running) < (min(loads) + max(loads)) / 2
