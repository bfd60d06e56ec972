"""The capture client only lists and watches, and handles errors of the API server."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.controller.api_server import ScriptedServer, json_response, kubeconfig, listening, status, streams
from twin.capture import CaptureError, Observation, open_reader, watch
from twin.capture.client import RESOURCES

ADAPTER = {"metadata": {"name": "a", "namespace": "default", "uid": "1", "resourceVersion": "5"}, "spec": {}}


def lists(**items: list[dict[str, Any]]) -> list[Any]:
    """Return a response for each kind, in the order of the requests."""
    return [
        json_response(200, {"metadata": {"resourceVersion": "7"}, "items": items.get(resource.plural, [])})
        for resource in RESOURCES
    ]


def event(type_: str, **more: Any) -> bytes:
    return json.dumps({"type": type_, "object": {**ADAPTER, **more}}).encode() + b"\n"


async def looked(folder: Path, script: ScriptedServer, seconds: float = 0.3) -> Observation:
    async with listening(script) as url:
        file = kubeconfig(folder, url, {"token": "sesame"})
        async with open_reader(str(file), "") as reader:
            return await watch(reader, [], seconds)


def test_only_get_requests_are_sent_and_never_for_secrets(tmp_path: Path) -> None:
    script = ScriptedServer([*lists(modeladapters=[ADAPTER]), streams(event("MODIFIED"))])
    seen = asyncio.run(looked(tmp_path, script))
    assert {request.method for request in script.requests} == {"GET"}
    assert len(script.requests) >= 2 * len(RESOURCES)
    assert not any("secret" in request.path for request in script.requests)
    assert script.bodies == [None] * len(script.bodies)
    assert len(seen.changes) >= 1


def test_a_long_list_is_read_page_by_page(tmp_path: Path) -> None:
    first = json_response(200, {"metadata": {"resourceVersion": "7", "continue": "more"}, "items": [ADAPTER]})
    script = ScriptedServer([first, *lists(modeladapters=[ADAPTER]), streams()])
    assert len(asyncio.run(looked(tmp_path, script)).first["ModelAdapter"]) == 2
    assert script.requests[1].query["continue"] == "more"


def test_an_expired_watch_starts_with_a_new_list_and_a_note(tmp_path: Path) -> None:
    expired = json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}).encode()

    def answer(request: Any) -> Any:
        if "modeladapters" not in request.path:
            return json_response(200, {"metadata": {"resourceVersion": "7"}, "items": []})(request)
        if "watch" in request.query:
            return streams(expired + b"\n")(request)
        items = [] if request is script.requests[0] else [ADAPTER]
        return json_response(200, {"metadata": {"resourceVersion": "7"}, "items": items})(request)

    script = ScriptedServer([answer])
    seen = asyncio.run(looked(tmp_path, script))
    assert [(change.kind, change.type) for change in seen.changes][:1] == [("ModelAdapter", "ADDED")]
    assert any("the watch of modeladapters expired" in note for note in seen.notes)


def test_nodes_that_may_not_be_read_are_a_note(tmp_path: Path) -> None:
    script = ScriptedServer([*lists()[:-1], status(403, "Forbidden", "nodes is forbidden"), streams()])
    notes = asyncio.run(looked(tmp_path, script)).notes
    assert any("nodes could not be read, so defaults are used: nodes is forbidden" in note for note in notes)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (status(404, "NotFound"), "ModelAdapter is not defined"),
        (status(403, "Forbidden", "may not"), "modeladapters cannot be read: may not"),
        (status(401, "Unauthorized", "who are you"), "modeladapters cannot be read: who are you"),
        (json_response(200, "<html>"), "the server returned an invalid list"),
    ],
)
def test_an_error_of_the_cluster_is_one_line(tmp_path: Path, answer: Any, said: str) -> None:
    with pytest.raises(CaptureError, match=said) as caught:
        asyncio.run(looked(tmp_path, ScriptedServer([answer])))
    assert "\n" not in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_a_missing_kubeconfig_is_an_error_in_one_line(tmp_path: Path) -> None:
    async def reached() -> None:
        async with open_reader(str(tmp_path / "none"), ""):
            raise AssertionError("there was nothing to read")

    with pytest.raises(CaptureError, match="none: kubeconfig not found"):
        asyncio.run(reached())
