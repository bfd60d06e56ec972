"""The files of a list are looked at together; when one is missing, no request of the others outlives the error."""

import asyncio
import json

import httpx
import pytest

from controller.sidecar.artifacts.credentials import Headers
from controller.sidecar.artifacts.stores.http import HttpStore
from controller.sidecar.artifacts.url import parse
from controller.sidecar.errors import Code, SidecarError

FILES = {"files": [{"path": name} for name in ("adapter_config.json", "adapter_model.safetensors")]}


class Listed(httpx.AsyncBaseTransport):
    """Answers the list at once and 404 for the configuration; the weights are never answered."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.open = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("files.json"):
            return httpx.Response(200, stream=httpx.ByteStream(json.dumps(FILES).encode()))
        if request.url.path.endswith("config.json"):
            await self.asked.wait()
            return httpx.Response(404, stream=httpx.ByteStream(b""))
        self.open += 1
        try:
            self.asked.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.open -= 1
        raise AssertionError


def test_a_missing_file_ends_the_requests_for_the_others() -> None:
    async def story() -> None:
        transport = Listed()
        store = HttpStore(parse("https://store.example/a/files.json"), Headers(), transport)
        with pytest.raises(SidecarError) as caught:
            await store.listing()
        assert caught.value.code is Code.ARTIFACT_NOT_FOUND
        assert transport.open == 0

    asyncio.run(story())
