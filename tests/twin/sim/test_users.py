"""Requests of users in a run: what the API server refuses is said, and the run goes on."""

import pickle
from pathlib import Path

import pytest
import simpy

from tests.twin.worlds import a_scenario, adapters, deployment
from twin.apiserver import ApiError
from twin.evaluate.judge import evaluate
from twin.sim.simulation import simulate
from twin.trace.lines import RefusedLine

_QUOTA = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "few", "namespace": "default"},
    "spec": {"hard": {"count/modeladapters.model.aibrix.ai": "1"}},
}


def test_an_adapter_beyond_the_quota_is_refused_and_the_others_run(tmp_path: Path) -> None:
    objects = [deployment(2), _QUOTA]
    scenario = a_scenario(tmp_path, objects=objects, adapters=[adapters(3, replicas=1)], duration="3m")
    lines = simulate(scenario).lines
    result = evaluate(lines, ())
    refused = [line for line in lines if isinstance(line, RefusedLine)]
    assert [(line.verb, line.object, line.code, line.reason) for line in refused] == [
        ("create", "default/a-1", 403, "Forbidden"),
        ("create", "default/a-2", 403, "Forbidden"),
    ]
    assert 'modeladapters.model.aibrix.ai "a-1" is forbidden: exceeded quota: few' in refused[0].message
    assert result.measures["adapters"]["running"] == 1
    (note,) = (text for text in result.unjudged if text.startswith("Requests of users that the API server refused: 2"))
    assert "create of modeladapters.model.aibrix.ai default/a-1" in note


def test_an_adapter_that_exists_already_when_it_arrives_is_refused_as_by_kubectl(tmp_path: Path) -> None:
    scenario = a_scenario(
        tmp_path,
        adapters=[{**adapters(1, replicas=1), "arrive": {"at": "1m"}}],
        edits=[{"at": "30s", "of": "ModelAdapter/a-0", "create": True}],
        duration="3m",
    )
    (refused,) = (line for line in simulate(scenario).lines if isinstance(line, RefusedLine))
    assert (refused.t, refused.code, refused.reason) == (60.0, 409, "AlreadyExists")


def test_an_edit_of_an_object_that_is_gone_is_no_refusal(tmp_path: Path) -> None:
    edits = [{"at": at, "of": "ModelAdapter/a-0", "delete": True} for at in ("1m", "2m")]
    edits.insert(1, {"at": "90s", "of": "ModelAdapter/a-0", "patch": {"spec": {"replicas": 2}}})
    scenario = a_scenario(tmp_path, adapters=[adapters(1, replicas=1)], edits=edits, duration="3m")
    assert not [line for line in simulate(scenario).lines if isinstance(line, RefusedLine)]


def test_an_api_error_of_a_simulated_process_keeps_its_words() -> None:
    env = simpy.Environment()

    def process() -> object:
        yield env.timeout(1)
        raise ApiError(403, "Forbidden", "pods is forbidden")

    env.process(process())  # type: ignore[arg-type]
    with pytest.raises(ApiError, match=r"^pods is forbidden$"):
        env.run()
    assert str(pickle.loads(pickle.dumps(ApiError(404, "NotFound", "gone")))) == "gone"
