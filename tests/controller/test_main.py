"""`lora-controller` as a process: start, errors in one line, exit."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.controller.api_server import kubeconfig
from tests.controller.served import Served, serving
from tests.ports import free_port
from twin.apiserver.rest import User

QUIET = ("--metrics-bind-address=0", "--health-probe-bind-address=0")
FAST = ("--leader-elect-lease-duration=3s", "--leader-elect-renew-deadline=2s", "--leader-elect-retry-period=200ms")
ADAPTERS = "modeladapters.model.aibrix.ai"
LEASES = "leases.coordination.k8s.io"


@asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KUBE", "LORA"))}
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "controller", *arguments, stderr=asyncio.subprocess.PIPE, env=environment
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


async def refused(*arguments: str) -> str:
    """Run the command, which exits with code 2; return its error line."""
    async with process(*arguments, *QUIET) as operator, asyncio.timeout(30):
        _, message = await operator.communicate()
        lines = message.decode().splitlines()
        assert (operator.returncode, len(lines)) == (2, 1), lines
        return lines[0]


async def line_of(operator: asyncio.subprocess.Process, event: str) -> dict[str, Any]:
    """Return the next log line with this text."""
    assert operator.stderr is not None
    async with asyncio.timeout(30):
        while line := await operator.stderr.readline():
            result: dict[str, Any] = json.loads(line)
            if result["event"] == event:
                return result
    raise AssertionError(f"it ended without saying {event!r}")


def story_of(story: Any, folder: Path, **how: Any) -> None:
    async def run() -> None:
        async with serving(folder, **how) as served, asyncio.timeout(60):
            await story(served)

    asyncio.run(run())


def test_it_leads_does_its_work_and_gives_the_lease_back(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        file = served.kubeconfig()
        async with process("--kubeconfig", str(file), *QUIET, *FAST) as operator:
            await line_of(operator, "leading")
            spec = {"podSelector": {"matchLabels": {"app": "qwen"}}, "artifactURL": "hf://acme/sql"}
            adapter = {"metadata": {"name": "sql", "namespace": "default"}, "spec": spec}
            observed = asyncio.Event()
            served.store.subscribe(lambda change: observed.set() if "status" in change.object else None, ADAPTERS)
            served.store.create(ADAPTERS, adapter)
            await observed.wait()
            operator.send_signal(signal.SIGTERM)
            assert await operator.wait() == 0
        assert served.store.get(LEASES, "default", "lora-controller")["spec"]["holderIdentity"] == ""

    story_of(story, tmp_path)


def test_its_probes_and_metrics_answer(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        metrics, health = free_port(), free_port()
        places = (f"--metrics-bind-address=127.0.0.1:{metrics}", f"--health-probe-bind-address=127.0.0.1:{health}")
        async with process("--kubeconfig", str(served.kubeconfig()), *places, *FAST) as operator:
            await line_of(operator, "leading")
            async with httpx.AsyncClient(trust_env=False) as client:
                assert (await client.get(f"http://127.0.0.1:{health}/healthz")).status_code == 200
                text = (await client.get(f"http://127.0.0.1:{metrics}/metrics")).text
            assert 'leader_election_master_status{name="lora-controller"} 1.0' in text

    story_of(story, tmp_path)


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        port = served.url.rpartition(":")[2]
        async with process(
            "--kubeconfig", str(served.kubeconfig()), "--metrics-bind-address=0",
            f"--health-probe-bind-address=127.0.0.1:{port}",
        ) as operator:  # fmt: skip
            _, message = await operator.communicate()
            assert operator.returncode == 2
            assert f"--health-probe-bind-address: cannot listen on 127.0.0.1:{port}:" in message.decode()

    story_of(story, tmp_path)


def test_a_second_one_stands_by_and_takes_over_when_the_first_is_killed(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        flags = ("--kubeconfig", str(served.kubeconfig()), *QUIET, *FAST)
        async with process(*flags) as first:
            await line_of(first, "leading")
            async with process(*flags) as second:
                await line_of(second, "started")
                first.kill()
                await line_of(second, "leading")

    story_of(story, tmp_path)


def test_a_second_one_without_election_refuses_to_start(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        flags = ("--kubeconfig", str(served.kubeconfig()), *FAST)
        async with process(*flags, *QUIET) as first:
            leading = await line_of(first, "leading")
            line = await refused(*flags, "--leader-elect=false")
            assert f"another operator ({leading['identity']}) is running" in line

    story_of(story, tmp_path)


def test_bad_input_is_refused_in_one_line(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        stranger = kubeconfig(tmp_path, served.url, {"token": "expired"})
        cases = {
            (
                "--max-concurrent-reconciles=none",
            ): "--max-concurrent-reconciles=none: must be a whole number, at least 1",
            ("--kubeconfig=/nowhere",): "/nowhere: kubeconfig not found",
            ("--kubeconfig", str(stranger)): "the credentials are not valid or have expired",
            (
                "--kubeconfig",
                str(served.kubeconfig(User("unprivileged"))),
            ): "may not list, watch, patch modeladapters",
        }
        result = await asyncio.gather(*(refused(*arguments) for arguments in cases))
        for line, message in zip(result, cases.values(), strict=True):
            assert line.startswith("lora-controller: ")
            assert message in line

    story_of(story, tmp_path)


def test_a_cluster_without_the_crd_is_refused_in_one_line(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        assert "is not installed: kubectl apply" in await refused("--kubeconfig", str(served.kubeconfig()))

    story_of(story, tmp_path, definition={})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_on_either_signal_while_it_stands_by(number: signal.Signals, tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        lease = {
            "metadata": {"name": "lora-controller", "namespace": "default"},
            "spec": {"holderIdentity": "other", "leaseDurationSeconds": 3600},
        }
        served.store.create(LEASES, lease)
        async with process("--kubeconfig", str(served.kubeconfig()), *QUIET) as operator:
            await line_of(operator, "started")
            operator.send_signal(number)
            assert await operator.wait() == 0

    story_of(story, tmp_path)
