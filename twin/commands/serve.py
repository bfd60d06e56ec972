"""`twin serve`, and the commands that act on a running one: `fault`, `events` and `clock`."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from formats.durations import parse_duration
from twin.commands.common import OK, UsageError, exit_code, exit_code_of, parse_overrides, print_errors
from twin.commands.progress import DRAWING, busy

if TYPE_CHECKING:
    import ssl

    import httpx

    from twin.serve.server import Options, ServedEndpoints

KUBECONFIG = Path("twin.kubeconfig")
_OK_STATUS = 200
_KubeconfigOption = Annotated[Path, typer.Option("--kubeconfig", help="Kubeconfig that `twin serve` wrote.")]


@exit_code
def serve(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Scenario file.", show_default=False)],
    speed: Annotated[float, typer.Option(help="Simulated seconds per second.")] = 1.0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the Kubernetes API (0 picks a free one).")] = 0,
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond loopback every request needs the token.")
    ] = "127.0.0.1",
    kubeconfig: Annotated[Path, typer.Option(help="Kubeconfig to write; removed at the end.")] = KUBECONFIG,
    controller: Annotated[
        bool, typer.Option("--controller/--no-controller", help="Run the operator in this process, as a Deployment.")
    ] = True,
    operator_process: Annotated[
        bool, typer.Option(help="Run the operator as separate lora-controller processes.")
    ] = False,
    crash_interval: Annotated[
        str | None,
        typer.Option(
            "--crash-interval", help="With --operator-process: interval of SIGKILLs to it.", show_default=False
        ),
    ] = None,
    insecure_http: Annotated[
        bool, typer.Option(help="Serve HTTP without TLS and without a token; on loopback only.")
    ] = False,
    paused: Annotated[bool, typer.Option(help="Start with the clock paused.")] = False,
    until_end: Annotated[
        bool, typer.Option(help="Stop at the end of the scenario, evaluate it and write its run folder.")
    ] = False,
    out: Annotated[Path, typer.Option(help="With --until-end: directory for run folders.")] = Path("reports"),
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed, instead of the one in the file.", show_default=False)
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Override a value; repeatable.")
    ] = None,
) -> int:
    """Serve a scenario in wall-clock time, behind a Kubernetes API."""
    from twin.scenario import load_all
    from twin.serve.errors import ServeError
    from twin.serve.server import Options
    from twin.serve.server import serve as serve_world

    scenarios, problems = load_all([file], parse_overrides(settings or []), seed)
    if problems:
        raise UsageError(*problems)
    options = Options(
        host=host,
        port=port,
        insecure_http=insecure_http,
        speed=speed,
        paused=paused,
        controller=controller,
        kubeconfig=kubeconfig.absolute(),
        operator_process=operator_process,
        crash_interval=0.0 if crash_interval is None else _duration(crash_interval, "--crash-interval"),
        until_end=until_end,
    )
    _check(options)
    try:
        result = serve_world(scenarios[0], options, _print_endpoints)
    except ServeError as error:
        raise UsageError(f"twin serve: {error}") from error
    if not until_end:
        print_errors("twin: stopped; nothing was kept: --until-end writes a run folder")
        return OK
    from twin.report import terminal
    from twin.runs import run as running

    with busy(DRAWING):
        findings, page = running.judge_to_folder(scenarios[0], result.lines, out, partial=result.partial)
    terminal.show(findings, page)
    return exit_code_of(findings)


def _check(options: "Options") -> None:
    """Refuse flags that contradict each other."""
    if not 0 < options.speed < float("inf"):
        raise UsageError(f"--speed {options.speed:g}: not a speed; allowed: a number above 0, such as 1 or 10")
    if options.operator_process and not options.controller:
        raise UsageError("twin serve: --operator-process and --no-controller exclude each other")
    if options.crash_interval and not options.operator_process:
        raise UsageError("twin serve: --crash-interval requires --operator-process")
    if options.operator_process and options.paused:
        raise UsageError("twin serve: --operator-process and --paused exclude each other: processes cannot be paused")


def _duration(text: str, flag: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"twin serve: {flag} {text}: {error}") from error


def _print_endpoints(served: "ServedEndpoints") -> None:
    """Print all addresses, for people and for scripts that wait for the last line."""
    proxy = served.gateway.url
    print(f"Kubernetes API  {served.api.url}")
    print(f"kubeconfig      export KUBECONFIG={served.kubeconfig}")
    print(f"gateway         {served.gateway.url}   (models by name; status page at /, API at /docs)")
    print(f"pods' engines   at 10.x.y.z by the HTTP proxy {proxy} (lora-controller --engine-proxy), or at 127.x.y.z")
    print("Press Ctrl-C to stop.", flush=True)


@exit_code
def fault(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="Kind of fault; see `twin faults`.", show_default=False)],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FIELD=VALUE]...", help="Fields of the fault, such as pods='{count: 2}'."),
    ] = None,
    lasts: Annotated[
        str | None, typer.Option("--for", help="Duration of the fault; until the end if absent.", show_default=False)
    ] = None,
    kubeconfig: _KubeconfigOption = KUBECONFIG,
) -> int:
    """Inject a fault into a running `twin serve`."""
    body = {"kind": kind, **_fields(settings or []), **({"for": lasts} if lasts else {})}
    with _client(kubeconfig) as client:
        result = _json(client.post("/twin/v1/faults", json=body), "twin fault")
    until = "" if result["until"] is None else f", until {result['until']:.0f} s after the start"
    print(f"fault {result['number']}: {result['kind']}{until}")
    return OK


@exit_code
def events(
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Continue with new events.")] = False,
    tail: Annotated[
        int | None, typer.Option(min=0, help="Number of past lines to print; all by default.", show_default=False)
    ] = None,
    kubeconfig: _KubeconfigOption = KUBECONFIG,
) -> int:
    """Print the events of a running `twin serve`, one JSON object per line."""
    query: dict[str, Any] = {"follow": int(follow), **({} if tail is None else {"tail": tail})}
    request = ("GET", "/twin/v1/events")
    with _client(kubeconfig) as client, client.stream(*request, params=query, timeout=None) as response:
        if response.status_code != _OK_STATUS:
            response.read()
            _json(response, "twin events")
        for line in response.iter_lines():
            print(line, flush=True)
    return OK


@exit_code
def clock(
    speed: Annotated[float | None, typer.Option(help="Simulated seconds per second.", show_default=False)] = None,
    pause: Annotated[bool, typer.Option("--pause", help="Pause the clock.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the clock.")] = False,
    step: Annotated[
        str | None, typer.Option(help="Advance by this duration as fast as possible, then pause.", show_default=False)
    ] = None,
    kubeconfig: _KubeconfigOption = KUBECONFIG,
) -> int:
    """Show or change the clock of a running `twin serve`."""
    if pause and resume:
        raise UsageError("twin clock: --pause and --resume exclude each other")
    changes: dict[str, Any] = {"speed": speed, "step": step, "paused": True if pause else False if resume else None}
    body = {name: value for name, value in changes.items() if value is not None}
    with _client(kubeconfig) as client:
        response = client.post("/twin/v1/clock", json=body, timeout=None) if body else client.get("/twin/v1/world")
        world = _json(response, "twin clock")
    state = "paused" if world["paused"] else f"speed {world['speed']:g}"
    print(f"{world['name']}: {world['seconds']:.1f} s since the start, {state}")
    return OK


def _fields(settings: Sequence[str]) -> dict[str, Any]:
    """Parse `FIELD=VALUE` with YAML values."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    fields = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise UsageError(f"twin fault: {setting}: not a field; allowed: FIELD=VALUE, such as pods='{{count: 2}}'")
        try:
            fields[name] = YAML(typ="safe", pure=True).load(text)
        except YAMLError as error:
            raise UsageError(f"twin fault: {setting}: not valid YAML: {' '.join(str(error).split())}") from error
    return fields


@dataclass(frozen=True, slots=True)
class ServerConnection:
    """Address and credentials of a served world."""

    url: str
    headers: dict[str, str]
    trust: "ssl.SSLContext | bool"


def server_connection(path: Path) -> ServerConnection:
    """Return the connection that a kubeconfig of `twin serve` describes.

    Raises:
        UsageError: the file is missing or not such a kubeconfig.
    """
    import base64
    import ssl

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
        url, token = str(cluster["server"]), str(user["token"])
        ca = base64.b64decode(cluster.get("certificate-authority-data", "")).decode()
    except FileNotFoundError as error:
        raise UsageError(f"{path}: file not found; start `twin serve`, or pass its --kubeconfig") from error
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise UsageError(f"{path}: not a kubeconfig of `twin serve`: {error}") from error
    trust = ssl.create_default_context(cadata=ca) if ca else True
    return ServerConnection(url, {"authorization": f"Bearer {token}"}, trust)


@contextmanager
def _client(path: Path) -> Iterator["httpx.Client"]:
    """Open a client for the served world of a kubeconfig."""
    import httpx

    connection = server_connection(path)
    options: dict[str, Any] = {"headers": connection.headers, "verify": connection.trust}
    try:
        with httpx.Client(base_url=connection.url, trust_env=False, timeout=10, **options) as client:
            yield client
    except httpx.TransportError as error:
        raise UsageError(no_response(connection.url, error)) from error


def no_response(url: str, error: Exception) -> str:
    """Return the message for a served world that does not respond."""
    return f"{url}: no response ({error}); is `twin serve` still running?"


def _json(response: "httpx.Response", command: str) -> dict[str, Any]:
    """Return the body of a response.

    Raises:
        UsageError: the response is an error.
    """
    body: dict[str, Any] = response.json()
    if not response.is_success:
        raise UsageError(f"{command}: {body.get('message', response.status_code)}")
    return body


def register(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (serve, fault, events, clock):
        app.command()(command)
