"""`twin node`: pods of a served world as processes of this machine."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.clock import SystemClock
from formats.engine_command import expand_variables
from tests.twin.serve.processes import a_process, until
from tests.twin.serve.worlds import World, a_served_world
from twin.process_node.container import PROCESS, ProcessContainer

WORLD = Path(__file__).parents[3] / "docs" / "sidecar" / "walkthrough" / "world.yaml"
NUMBER = os.getpid() % 60000
FIRST = f"10.90.{NUMBER // 250}.{NUMBER % 250 + 1}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("node")
    with a_served_world(folder, "--no-controller", scenario=WORLD.read_text()) as served:
        yield served


def a_pod(name: str, *command: str, **container: Any) -> str:
    spec = {"nodeName": "mine", "containers": [{"name": "it", "image": "it", "command": list(command), **container}]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def status(world: World, name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(world.kubectl("get", "pod", name, "-o", "json").out)["status"]
    return result


def container(world: World, name: str) -> dict[str, Any]:
    statuses = status(world, name).get("containerStatuses") or [{}]
    return dict(statuses[0])


def last(world: World, name: str) -> str:
    """Return the result of the container's last run; empty if none has ended."""
    ended = container(world, name).get("lastState")
    return json.dumps(ended) if ended else ""


def test_pods_are_run_restarted_and_ended_as_a_kubelet_does(world: World, tmp_path: Path) -> None:
    config = ("--kubeconfig", str(world.kubeconfig))
    args = ("-m", "twin", "node", "mine", *config, "--first-address", FIRST, "--logs", str(tmp_path))
    greeting = {"name": "GREETING", "valueFrom": {"secretKeyRef": {"name": "late", "key": "said"}}}
    address = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    with a_process(tmp_path / "node.log", *args, ready="joins"):
        until(lambda: world.kubectl("get", "node", "mine").code == 0, "the node is there")
        world.kubectl("apply", "-f", "-", stdin=a_pod("ends", "sh", "-c", "exit 3"))
        world.kubectl("apply", "-f", "-", stdin=a_pod("lacks", "no-such-command"))
        says = a_pod("says", "sh", "-c", "echo $(GREETING) $(POD_IP); sleep 600 & wait", env=[greeting, address])
        world.kubectl("apply", "-f", "-", stdin=says)
        until(lambda: container(world, "ends").get("restartCount") == 1, "the container was started again")
        assert '"exitCode": 3' in until(lambda: last(world, "ends"), "it has ended")
        assert "no-such-command" in until(lambda: last(world, "lacks"), "it has ended")
        assert "podIP" not in status(world, "says"), "its Secret is not there yet"
        world.kubectl("create", "secret", "generic", "late", "--from-literal=said=hello")
        assert world.kubectl("wait", "--for=condition=Ready", "pod/says", "--timeout=20s").code == 0
        assert status(world, "says")["podIP"].startswith("10.90.")
        heard = until(lambda: (tmp_path / "says_it.log").read_text(), "it said something")
        assert heard.startswith("hello 127.90.")
        assert world.kubectl("delete", "pod", "says", "--timeout=20s").code == 0
    assert world.kubectl("get", "node", "mine").code == 1, "it left, and took its node along"
    assert world.kubectl("get", "pods", "-o", "name").out == ""


def test_a_process_that_ignores_sigterm_is_gone_though_its_container_was_cancelled_twice(tmp_path: Path) -> None:
    """As by an interrupt of the command: it cancels all tasks, and then each of them cancels those that it started."""
    command = ["sh", "-c", "trap '' TERM; echo started; exec sleep 600"]
    log = tmp_path / "log"

    async def story() -> int:
        running = ProcessContainer(
            {"name": "it", "command": command}, "127.0.0.1", {}, log, SystemClock(), lambda: None
        )
        task = asyncio.ensure_future(running.run(grace=0.2))
        for _ in range(6000):
            if log.exists() and log.read_text():
                break
            await asyncio.sleep(0.01)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        return int(running.container_id.removeprefix(PROCESS).partition("-")[0])

    group = asyncio.run(story())
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ("--first-address", "8.8.8.8"),
            "--first-address 8.8.8.8: not a pod address; allowed: an address such as 10.88.0.1",
        ),
        (("--first-address", "home"), "--first-address home: not a pod address; allowed: an address such as 10.88.0.1"),
        (("--logs", "/proc/nowhere"), "--logs /proc/nowhere: No such file or directory"),
        (("node-0",), 'twin node: nodes "node-0" already exists'),
    ],
)
def test_bad_input_is_one_line(world: World, arguments: tuple[str, ...], complaint: str) -> None:
    ran = world.twin("node", *arguments)
    assert (ran.code, ran.err) == (2, f"{complaint}\n")


def test_references_are_expanded_as_a_kubelet_does() -> None:
    variables = {"A": "1", "B.c-d": "2"}
    assert expand_variables("$(A) $(B.c-d) $(C) $$(A) $A", variables) == "1 2 $(C) $(A) $A"
