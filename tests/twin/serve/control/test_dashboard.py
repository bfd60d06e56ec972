"""The dashboard in Chromium, if there is one: what it shows, and that its buttons change the world."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from ruamel.yaml import YAML

from tests.twin.serve.worlds import World, a_served_world

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


class Tab:
    """A page of a browser, driven by the DevTools protocol."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._calls = 0

    async def call(self, method: str, **parameters: Any) -> Any:
        self._calls += 1
        await self._socket.send(json.dumps({"id": self._calls, "method": method, "params": parameters}))
        while True:
            message = json.loads(await self._socket.recv())
            if message.get("id") == self._calls:
                return message["result"]

    async def run(self, script: str) -> Any:
        result = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def until(self, script: str) -> Any:
        """Return the value of the script as soon as it is true."""
        for _ in range(100):
            if value := await self.run(script):
                return value
            await asyncio.sleep(0.2)
        pytest.fail(f"never true: {script}")


@asynccontextmanager
async def opened(url: str, profile: Path) -> AsyncIterator[Tab]:
    """A tab of Chromium with a page."""
    assert CHROMIUM is not None
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", f"--user-data-dir={profile}")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    browser = await asyncio.create_subprocess_exec(CHROMIUM, *options, url, **quiet)
    try:
        ports = profile / "DevToolsActivePort"
        for _ in range(200):
            if ports.is_file() and ports.read_text().strip():
                break
            await asyncio.sleep(0.1)
        address = f"http://127.0.0.1:{ports.read_text().split()[0]}/json"
        async with httpx.AsyncClient(trust_env=False) as client:
            pages = [page for page in (await client.get(address)).json() if page["type"] == "page"]
        async with websockets.connect(pages[0]["webSocketDebuggerUrl"], max_size=None, proxy=None) as socket:
            yield Tab(socket)
    finally:
        browser.kill()
        await browser.wait()


def token_of(world: World) -> str:
    config = YAML(typ="safe").load(world.kubeconfig.read_text())
    token: str = config["users"][0]["user"]["token"]
    return token


async def follow_a_fault(world: World, profile: Path) -> None:
    async with opened(f"{world.gateway}/#token={token_of(world)}", profile) as tab:
        await tab.until("document.querySelectorAll('#kind option').length > 20")
        assert await tab.run("location.hash") == "", "the token does not stay in the address"
        await tab.run(
            "document.querySelector('#kind').value = 'registry-down'; document.querySelector('#for').value = ''"
        )
        await tab.run("document.querySelector('#inject button').click()")
        active = await tab.until("document.querySelector('#faults').textContent")
        assert active.startswith("registry-down since 00:")
        assert await tab.run("document.querySelector('#answer').textContent") == ""
        await tab.until("document.querySelector('#events').textContent.includes('fault registry-down begin')")
        await tab.run("document.querySelector('#faults button').click()")
        await tab.until("document.querySelector('#faults').textContent === ''")
        await tab.run("document.querySelector('#pause').click()")
        await tab.until("document.querySelector('#when').textContent.includes('paused')")
        await tab.run("sessionStorage.clear(); document.querySelector('#pause').click()")
        answer = await tab.until("document.querySelector('#answer').textContent")
        assert "changes need the token of the kubeconfig" in answer


def test_a_fault_is_injected_seen_and_lifted_and_time_stopped(tmp_path: Path) -> None:
    with a_served_world(tmp_path, "--speed", "5") as world:
        asyncio.run(follow_a_fault(world, tmp_path / "profile"))
        ends = [line for line in world.twin("events").out.splitlines() if '"fault"' in line and '"end"' in line]
        assert len(ends) == 1
        missing = httpx.delete(
            f"{world.gateway}/twin/v1/faults/7",
            headers={"authorization": f"Bearer {token_of(world)}"},
            trust_env=False,
        )
        assert (missing.status_code, missing.json()["reason"]) == (404, "NotFound")
