"""Users, passwords and signatures in URLs of artifacts reach no record, no resolved scenario and no status."""

from pathlib import Path

import pytest

from controller.engine.load_errors import presentable
from tests.twin.worlds import a_scenario, adapters
from twin.scenario import resolved
from twin.scenario.manifests.secrets import hide_in_urls
from twin.sim.simulation import simulate
from twin.trace.recorder import encode

URL = "https://user:hunter2@host/sql/?X-Amz-Signature=hunter2"


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


def test_an_engine_s_message_is_shown_without_them() -> None:
    assert presentable(f"No adapter found for {URL}") == "No adapter found for https://…@host/sql/?…"
