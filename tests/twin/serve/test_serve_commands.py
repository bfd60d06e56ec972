"""Errors of `twin serve`, `fault`, `events` and `clock` are one line, with exit code 2."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from formats.installation import install_command
from tests.twin.serve.api import on_sockets
from tests.twin.serve.worlds import SCENARIO, World, a_served_world
from twin.apiserver.rest import TokenAuthenticator
from twin.cli import app
from twin.scenario import load
from twin.scenario.manifests.admission import definition
from twin.serve.clock import RealTimeClock
from twin.serve.control.api import ControlApi
from twin.serve.kubeconfig import kubeconfig, write
from twin.serve.network.sockets import listening
from twin.sim.simulation import Simulation


def refused(*args: str) -> str:
    """Return the error line of a command."""
    result = CliRunner().invoke(app, list(args))
    lines = result.output.splitlines()
    assert (result.exit_code, len(lines)) == (2, 1), result.output
    return lines[0]


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    file = tmp_path / "scenario.yaml"
    file.write_text(SCENARIO)
    return str(file)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--speed", "0"), "--speed 0: not a speed; allowed: a number above 0"),
        (("--speed", "inf"), "--speed inf: not a speed"),
        (("--insecure-http", "--host", "0.0.0.0"), "--insecure-http: 0.0.0.0 is not loopback"),
        (("--host", "192.0.2.1"), "cannot listen on 192.0.2.1:0"),
        (("--kubeconfig", "/nowhere/config"), "--kubeconfig /nowhere/config: No such file or directory"),
        (("--operator-process", "--no-controller"), "--operator-process and --no-controller exclude each other"),
        (("--operator-process", "--paused"), "--operator-process and --paused exclude each other"),
        (("--crash-interval", "5m"), "--crash-interval requires --operator-process"),
        (("--operator-process", "--crash-interval", "5"), '"5" has no unit'),
        (("--set", "controller.replicas"), "not a setting; allowed: PATH=VALUE"),
    ],
)
def test_a_world_that_cannot_be_served_is_refused(flags: tuple[str, ...], message: str, scenario: str) -> None:
    assert message in refused("serve", scenario, *flags)


def test_processes_need_the_operators_own_extra(scenario: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twin.serve.server.find_spec", lambda _: None)
    assert f"needs the extra `live`: {install_command('live')}" in refused("serve", scenario, "--operator-process")


def test_a_missing_file_is_named() -> None:
    assert refused("serve", "nowhere.yaml").startswith("File not found: nowhere.yaml")


def test_a_port_that_is_taken_is_named(scenario: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"--port: cannot listen on 127.0.0.1:{port}" in refused("serve", scenario, "--port", str(port))


@pytest.mark.parametrize("command", [("fault", "timeout"), ("events",), ("clock",)], ids=lambda args: args[0])
def test_a_world_that_does_not_run_is_an_error_in_one_line(command: tuple[str, ...], tmp_path: Path) -> None:
    missing = refused(*command, "--kubeconfig", str(tmp_path / "none"))
    assert "none: file not found; start `twin serve`" in missing
    (tmp_path / "broken").write_text("{")
    assert "broken: not a kubeconfig of `twin serve`" in refused(*command, "--kubeconfig", str(tmp_path / "broken"))
    write(tmp_path / "ended", kubeconfig("http://127.0.0.1:9", "token"))
    ended = refused(*command, "--kubeconfig", str(tmp_path / "ended"))
    assert "http://127.0.0.1:9: no response" in ended


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_served_world(tmp_path_factory.mktemp("commands"), "--no-controller", "--insecure-http") as served:
        yield served


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("fault nonsense", 'unknown fault "nonsense"'),
        ("fault timeout colour=red", 'timeout: unknown field "colour"'),
        ("fault timeout pods=5", "timeout: pods"),
        ("fault timeout pods={", "not valid YAML"),
        ("fault timeout pods", "not a field; allowed: FIELD=VALUE"),
        ("fault timeout --for soon", '"soon" is not a duration'),
        ("fault engine-restart --for 1m", "engine-restart: happens once and has no duration"),
        ("fault controller-crash", "this world has no operator"),
        ("fault leader-loss", "this world has no operator"),
        ("clock --speed 0", "speed: Input should be greater than 0"),
        ("clock --step -1s", '"-1s" is negative'),
        ("clock --pause --resume", "--pause and --resume exclude each other"),
    ],
)
def test_an_impossible_request_is_refused_by_the_world(command: str, message: str, world: World) -> None:
    assert message in refused(*command.split(), "--kubeconfig", str(world.kubeconfig))


def test_another_token_than_the_worlds_is_refused(world: World, tmp_path: Path) -> None:
    write(tmp_path / "stranger", kubeconfig(world.server, "stranger's"))
    assert refused("fault", "timeout", "--kubeconfig", str(tmp_path / "stranger")) == "twin fault: Unauthorized"


def done(*args: str) -> str:
    """Return the output of a successful command."""
    result = CliRunner().invoke(app, list(args))
    assert result.exit_code == 0, result.output
    return str(result.output)


def seconds(world: World) -> float:
    message = done("clock", "--kubeconfig", str(world.kubeconfig))
    return float(message.split(": ")[1].partition(" s ")[0])


def test_time_is_paused_stepped_and_resumed(world: World) -> None:
    options = ("--kubeconfig", str(world.kubeconfig))
    assert done("clock", "--pause", *options).endswith("paused\n")
    before = seconds(world)
    assert seconds(world) == before
    done("clock", "--step", "90s", *options)
    assert seconds(world) == pytest.approx(before + 90, abs=0.2)
    assert done("clock", "--resume", "--speed", "5", *options).endswith("speed 5\n")


def test_the_record_is_printed_and_followed(world: World) -> None:
    options = ("--kubeconfig", str(world.kubeconfig))
    assert json.loads(done("events", "--tail", "1", *options))["kind"]
    args = [sys.executable, "-m", "twin", "events", "-f", "--tail", "1", *options]
    following = subprocess.Popen(args, stdout=subprocess.PIPE, text=True)
    end = threading.Timer(40, following.kill)
    end.start()
    try:
        assert following.stdout is not None
        following.stdout.readline()  # it follows: what comes from now on is printed
        done("fault", "registry-down", "--for", "1h", *options)
        assert any(json.loads(line).get("fault") == "registry-down" for line in following.stdout)
    finally:
        end.cancel()
        following.kill()
        following.communicate()


@on_sockets
async def test_beyond_loopback_everything_of_the_twin_needs_its_token(scenario: str) -> None:
    """On loopback the status page needs no token, but every change of the world does."""
    for trusting, looked, changed in ((True, 200, 401), (False, 401, 401)):
        access = TokenAuthenticator()
        world = Simulation(load(Path(scenario)))
        world.store.register_crd(definition())
        control = ControlApi(world, RealTimeClock(), access, trusting=trusting, operated=True)
        async with listening(control) as address, httpx.AsyncClient(base_url=address.url, trust_env=False) as client:
            assert (await client.get("/twin/v1/world")).status_code == looked
            assert (await client.post("/twin/v1/clock", json={"speed": 2})).status_code == changed
            headers = {"authorization": f"Bearer {access.admin_token}"}
            assert (await client.post("/twin/v1/clock", json={"speed": 2}, headers=headers)).status_code == 200
