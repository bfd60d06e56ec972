"""Recordings are read as they were written, and every kind of difference is found and can be accepted."""

from tests.conformance_kubernetes import recording
from tests.conformance_kubernetes.comparison import Difference, Known, differences, judge
from tests.conformance_kubernetes.masking import Masks
from tests.conformance_kubernetes.stage import Step
from tests.conformance_kubernetes.stories import STORIES

POD = {"count": 2, "status.phase": "Pending"}
STEPS = [
    Step("create", [], {"Pod web": [POD]}),
    Step("refuse", [{"code": 403}], {"Pod web": [POD], "Job work": [{}]}),
    Step("delete", [], {"Job work": [{}]}),
]


def test_steps_are_read_as_they_were_written() -> None:
    assert recording.decode(recording.encode(STEPS)) == STEPS


def test_a_step_holds_only_what_has_changed() -> None:
    written = recording.encode(STEPS)
    assert written[1]["changed"] == {"Job work": [{}]}
    assert written[2] == {"step": "delete", "gone": ["Pod web"]}


def test_differences_name_the_innermost_place() -> None:
    other = [*STEPS[:1], Step("refuse", [{"code": 404}], {"Pod web": [{**POD, "status.phase": "Running"}]})]
    assert differences("s", STEPS, other) == [
        Difference("s", "refuse", "refusals: code", 403, 404),
        Difference("s", "refuse", "Job work", [{}], None),
        Difference("s", "refuse", "Pod web: status.phase", "Pending", "Running"),
        Difference("s", "delete", "steps", True, False),
    ]


def test_an_entry_explains_by_pattern_and_is_counted() -> None:
    found = [Difference("a-1", "x", "Pod web-*: spec.priority", 0, None), Difference("b", "x", "refusals", [], [{}])]
    known = (Known("a-*", "Pod *: spec.priority", "why"), Known("c", "*", "why"))
    unexplained, counts = judge(found, known)
    assert unexplained == found[1:]
    assert list(counts.values()) == [1, 0]


def test_random_names_are_replaced_and_equal_objects_counted() -> None:
    def pod(name: str, uid: str) -> dict[str, object]:
        labels = {"pod-template-hash": "5d4f7"}
        meta = {"name": name, "generateName": "web-5d4f7-", "uid": uid, "creationTimestamp": "t", "labels": labels}
        return {"kind": "Pod", "metadata": meta, "spec": {"containers": []}}

    state = Masks().state([pod("web-5d4f7-x2x9k", "u1"), pod("web-5d4f7-b8b8b", "u2")])
    assert state == {"Pod web-<hash 1>-*": [{"count": 2, "labels": {"pod-template-hash": "<hash 1>"}}]}


def test_every_story_has_a_recording_and_every_recording_a_story() -> None:
    assert recording.versions()
    for version in recording.versions():
        assert sorted(recording.read(version)) == sorted(story.name for story in STORIES)
