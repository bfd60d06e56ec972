"""Users, passwords and signatures in URLs of artifacts reach no record, no resolved scenario and no status."""

from pathlib import Path
from typing import Any

import pytest

from controller.api.types import MODEL_ADAPTERS
from controller.engine.load_errors import presentable
from tests.twin.worlds import a_scenario, adapters
from twin.evaluate import invariants
from twin.kernel.loop import run
from twin.scenario import resolved
from twin.scenario.manifests.admission import ACCEPTED
from twin.scenario.manifests.secrets import hide_in_urls
from twin.sim.simulation import Simulation, simulate
from twin.trace.lines import AdapterLine, EngineLine
from twin.trace.recorder import encode

URL = "https://user:hunter2@host/sql/?X-Amz-Signature=hunter2"
BY_HAND = "default/by-hand"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://host/sql/", "https://host/sql/"),
        ("https://u:p@host/sql/", "https://hidden@host/sql/"),
        ("hf://acme/sql@v1", "hf://acme/sql@v1"),
        ("/models/a?b", "/models/a?b"),
        ("s3://bucket/a@b/c", "s3://bucket/a@b/c"),
    ],
)
def test_a_url_keeps_everything_but_its_user_and_query(url: str, expected: str) -> None:
    assert hide_in_urls({"spec": {"artifactURL": url}}) == {"spec": {"artifactURL": expected}}


def test_another_signature_stays_another_artifact_and_hiding_twice_changes_nothing() -> None:
    one, two = (hide_in_urls({"artifactURL": f"https://h/a?sig={text}"})["artifactURL"] for text in "ab")
    assert one != two
    assert "sig" not in one
    assert hide_in_urls({"artifactURL": one})["artifactURL"] == one


def test_a_run_and_its_resolved_scenario_do_not_contain_them(tmp_path: Path) -> None:
    scenario = a_scenario(tmp_path, duration="1m", adapters=[adapters(1, spec={"artifactURL": URL})])
    assert b"hunter2" not in encode(simulate(scenario).lines)
    assert "hunter2" not in resolved(scenario)
    assert "hidden" in resolved(scenario)


def test_an_adapter_that_is_created_by_hand_is_recorded_without_them_and_judged_by_its_digest(tmp_path: Path) -> None:
    simulation = Simulation(a_scenario(tmp_path, duration="3m", adapters=[adapters(1, spec={"artifactURL": URL})]))
    manifest = adapters(1)["spec"] | {"artifactURL": URL}
    body = {"apiVersion": MODEL_ADAPTERS.api_version, "kind": "ModelAdapter", "metadata": {"name": "by-hand"}}

    def create() -> Any:
        yield simulation.env.timeout(30)
        simulation.store.create(ACCEPTED["ModelAdapter"][1], {**body, "spec": manifest}, namespace="default")

    simulation.env.process(create())
    run(simulation.main(None), simulation.env)
    lines = list(simulation.recorder.lines)
    assert b"hunter2" not in encode(lines)
    (loaded,) = {line.digest for line in lines if isinstance(line, EngineLine) and line.adapter == "by-hand"}
    assert loaded == {line.digest for line in lines if isinstance(line, AdapterLine) and line.object == BY_HAND}.pop()
    assert invariants.check(lines).violations == ()


def test_an_engine_s_message_is_shown_without_them() -> None:
    assert presentable(f"No adapter found for {URL}") == "No adapter found for https://…@host/sql/?…"
