"""Loads that engines refuse with the words of a real vLLM, as visible from outside: attempts, phase and conditions."""

from pathlib import Path
from typing import Any

import pytest

from tests.harness.story import Story, one, run_story
from tests.twin.worlds import adapters, deployment

_SEVERAL = (
    "Call to add_lora method failed: Worker failed with error '{}',"
    " please check the stack trace above for the root cause"
)
DORA = "vLLM does not yet support DoRA."
NO_LORA = "LoRA is not enabled. Use --enable-lora to enable LoRA."
HIGH_RANK = "LoRA rank 64 is greater than max_lora_rank 16."
UNKNOWN = "HIP error: invalid argument"


def refusing(text: str, **fields: Any) -> list[dict[str, Any]]:
    return [{"kind": "http-error", "status": 500, "message": _SEVERAL.format(text), "adapters": ["a-0"], **fields}]


def tried(story: Story) -> list[str]:
    """Return the pods of the loads, in their order."""
    return [line.object.split("/")[1] for line in story.sent("load")]


def test_an_adapter_that_vllm_does_not_support_is_failed_at_once_with_its_words(tmp_path: Path) -> None:
    story = run_story(tmp_path, pods=3, adapters=one(), faults=refusing(DORA, **{"from": "0s"}), duration="4m")
    assert len(tried(story)) == 1
    assert story.adapter()["status"]["phase"] == "Failed"
    status, reason, message = story.conditions()["Ready"]
    assert (status, reason) == ("False", "InvalidAdapter")
    assert f"500 {DORA}; tried again when the spec changes" in message


@pytest.mark.parametrize(
    ("text", "reason", "flag"),
    [(NO_LORA, "LoRANotEnabled", "--enable-lora"), (HIGH_RANK, "AdapterExceedsLimits", "--max-lora-rank")],
)
def test_a_fault_of_the_pods_is_failed_after_one_pass_over_them(
    tmp_path: Path, text: str, reason: str, flag: str
) -> None:
    story = run_story(tmp_path, pods=3, adapters=one(), faults=refusing(text, **{"from": "0s"}), duration="4m")
    assert len(tried(story)) == len(set(tried(story))) == 3
    assert story.adapter()["status"]["phase"] == "Failed"
    assert story.conditions()["Ready"][1] == reason
    assert flag in story.conditions()["Ready"][2]


def test_engines_that_were_started_without_lora_say_so(tmp_path: Path) -> None:
    """The fake itself refuses here, not a fault."""
    base = deployment(2)
    command = base["spec"]["template"]["spec"]["containers"][0]["command"]
    del command[command.index("--enable-lora") :]
    story = run_story(tmp_path, adapters=one(), objects=[base], duration="4m")
    assert len(tried(story)) == len(set(tried(story))) == 2
    assert story.conditions()["Ready"][1] == "LoRANotEnabled"


def test_a_rank_that_one_pod_takes_is_loaded_there(tmp_path: Path) -> None:
    first = tried(run_story(tmp_path, pods=3, adapters=one(), duration="1m"))[0]
    faults = refusing(HIGH_RANK, pods={"names": [first]}, **{"from": "0s"})
    story = run_story(tmp_path, pods=3, adapters=one(), faults=faults, duration="2m")
    assert tried(story)[0] == first
    assert len(tried(story)) == 2
    assert story.adapter()["status"]["phase"] == "Running"


def test_replicas_that_serve_hide_no_pod_that_cannot(tmp_path: Path) -> None:
    first = tried(run_story(tmp_path, pods=2, adapters=one(), duration="1m"))[0]
    faults = refusing(NO_LORA, pods={"names": [first]}, **{"from": "0s"})
    everywhere = [adapters(1, replicas=None)]
    story = run_story(tmp_path, pods=2, adapters=everywhere, faults=faults, duration="2m")
    assert story.adapter()["status"]["phase"] == "Running"
    assert "--enable-lora" in story.conditions()["Progressing"][2]


def test_a_load_that_fails_for_an_unknown_reason_is_tried_elsewhere_before_it_is_tried_again(tmp_path: Path) -> None:
    faults = refusing(UNKNOWN, **{"from": "0s", "until": "2m"})
    story = run_story(tmp_path, pods=3, adapters=one(), faults=faults, duration="4m")
    assert len(set(tried(story)[:3])) == 3
    assert story.sent("load")[2].t - story.sent("load")[0].t < 3
    assert story.adapter()["status"]["phase"] == "Running"


def test_an_unknown_reason_that_stays_is_failed_after_six_attempts_on_each_pod(tmp_path: Path) -> None:
    story = run_story(tmp_path, pods=2, adapters=one(), faults=refusing(UNKNOWN, **{"from": "0s"}), duration="5m")
    pods = tried(story)
    assert [pods.count(pod) for pod in sorted(set(pods))] == [6, 6]
    assert story.adapter()["status"]["phase"] == "Failed"
    assert UNKNOWN in story.conditions()["Ready"][2]


def test_a_rank_above_the_limit_of_all_engines_is_failed_before_anything_is_sent(tmp_path: Path) -> None:
    story = run_story(tmp_path, pods=2, adapters=one(additionalConfig={"rank": "64"}), duration="3m")
    assert tried(story) == []
    assert story.adapter()["status"]["phase"] == "Failed"
    assert story.adapter()["status"]["artifact"]["rank"] == 64
    reason, message = story.conditions()["Ready"][1:]
    assert reason == "RankTooLarge"
    assert message.startswith("rank 64 is above --max-lora-rank of all matching engines, at most 16: raise it there")


def test_an_adapter_of_a_large_rank_goes_to_the_engines_that_take_it(tmp_path: Path) -> None:
    large = deployment(1)
    large["metadata"]["name"] = "large"
    large["spec"]["template"]["spec"]["containers"][0]["command"] += ["--max-lora-rank", "64"]
    wide = adapters(3, replicas=1, arrive={"at": "30s"}, spec={"additionalConfig": {"rank": "64"}})
    story = run_story(tmp_path, objects=[deployment(2), large], adapters=[wide], duration="3m")
    assert {pod.rsplit("-", 2)[0] for pod in tried(story)} == {"large"}
    assert story.adapter("a-2")["status"]["phase"] == "Running"
    assert story.violations == []


def test_an_adapter_that_is_served_is_not_taken_away_because_of_a_wrong_rank(tmp_path: Path) -> None:
    edit = {"at": "60s", "of": "ModelAdapter/a-0", "patch": {"spec": {"additionalConfig": {"rank": "512"}}}}
    story = run_story(tmp_path, pods=2, adapters=one(), edits=[edit], duration="3m")
    assert story.adapter()["status"]["phase"] == "Running"
    assert story.sent("unload") == []
