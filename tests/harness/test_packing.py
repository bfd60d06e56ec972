"""`bin-pack` by bytes, as visible from outside."""

from collections import Counter
from pathlib import Path

import pytest

from tests.harness.story import one, run_story
from tests.twin.worlds import adapters, deployment


def test_adapters_are_packed_within_the_memory_of_the_pods_and_the_rest_waits(tmp_path: Path) -> None:
    limited = deployment(2)
    meta = limited["spec"]["template"]["metadata"]
    meta["labels"] = {**meta["labels"], "adapter.model.aibrix.ai/memory": "200Mi"}
    packed = adapters(6, replicas=1, spec={"schedulerName": "bin-pack", "additionalConfig": {"size": "80Mi"}})
    story = run_story(tmp_path, objects=[limited], adapters=[packed], duration="2m")
    names = [f"a-{number}" for number in range(6)]
    placed = Counter(pod for name in names for pod in story.adapter(name)["status"].get("instances", ()))
    assert sorted(placed.values()) == [2, 2]
    waiting = [name for name in names if story.adapter(name)["status"]["phase"] == "Pending"]
    assert len(waiting) == 2
    reason, message = story.conditions(waiting[0])["Ready"][1:]
    assert reason == "NoCapacity"
    assert message.endswith("the pods' label adapter.model.aibrix.ai/memory")
    assert story.violations == []


@pytest.mark.parametrize("size", ["80", "much", "99999999EiB"])
def test_a_size_that_is_none_is_failed_with_what_is_allowed(tmp_path: Path, size: str) -> None:
    story = run_story(tmp_path, pods=1, adapters=one(additionalConfig={"size": size}), duration="1m")
    reason, message = story.conditions()["Ready"][1:]
    assert reason == "InvalidSize"
    assert message == f"additionalConfig.size {size!r} is not a size; allowed: 80Mi, 1Gi, 500M"
