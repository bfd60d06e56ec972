"""`twin serve`, and the commands that act on a served world: `fault`, `events` and `clock`."""

import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from formats.durations import parse_duration
from twin.commands.common import OK, UsageError, exit_code, exit_code_of, parse_overrides

if TYPE_CHECKING:
    import ssl

    import httpx

    from twin.serve.server import Options, ServedEndpoints

KUBECONFIG = Path("twin.kubeconfig")
_Config = Annotated[Path, typer.Option("--kubeconfig", help="Of the served world; as `twin serve` wrote it.")]


@exit_code
def serve(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A scenario.", show_default=False)],
    speed: Annotated[float, typer.Option(help="Simulated seconds a second.")] = 1.0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the Kubernetes API; 0 is any that is free.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen at; beyond loopback all needs the token.")] = "127.0.0.1",
    kubeconfig: Annotated[Path, typer.Option(help="Where to write the kubeconfig; removed at the end.")] = KUBECONFIG,
    controller: Annotated[
        bool, typer.Option("--controller/--no-controller", help="Whether the operator runs inside, as a Deployment.")
    ] = True,
    operator_process: Annotated[
        bool, typer.Option(help="The operator runs as lora-controller processes of its own instead of inside.")
    ] = False,
    crash_interval: Annotated[
        str | None,
        typer.Option(
            "--crash-interval", help="With --operator-process: SIGKILL to the operator so often.", show_default=False
        ),
    ] = None,
    insecure_http: Annotated[
        bool, typer.Option(help="HTTP without TLS and without a token; on loopback only.")
    ] = False,
    paused: Annotated[bool, typer.Option(help="Begin with time standing still.")] = False,
    until_end: Annotated[bool, typer.Option(help="End with the scenario, judge it, write its run folder.")] = False,
    out: Annotated[Path, typer.Option(help="With --until-end: where run folders go.")] = Path("reports"),
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the file's own.", show_default=False)] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Override a value, repeatable.")
    ] = None,
) -> int:
    """Serve a scenario's world in wall-clock time, behind a Kubernetes API."""
    from twin.runs import run as running
    from twin.serve.errors import ServeError
    from twin.serve.server import Options
    from twin.serve.server import serve as serve_world

    scenarios, problems = running.load_all([file], parse_overrides(settings or []), seed)
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
        with sigterm_as_interrupt():
            outcome = serve_world(scenarios[0], options, _tell)
    except ServeError as error:
        raise UsageError(f"twin serve: {error}") from error
    if not until_end:
        return OK
    from twin.report import terminal

    findings, page = running.judge_to_folder(scenarios[0], outcome.lines, out, partial=outcome.partial)
    terminal.show(findings, page)
    return exit_code_of(findings)


def _check(options: "Options") -> None:
    """Flags that go against each other are refused."""
    if not 0 < options.speed < float("inf"):
        raise UsageError(f"--speed {options.speed:g}: is no speed; allowed: a number above 0, such as 1 or 10")
    if options.operator_process and not options.controller:
        raise UsageError("twin serve: --operator-process and --no-controller go against each other; give one of them")
    if options.crash_interval and not options.operator_process:
        raise UsageError("twin serve: --crash-interval needs --operator-process: there is no process to kill")
    if options.operator_process and options.paused:
        raise UsageError(
            "twin serve: --operator-process and --paused go against each other: processes do not stand still"
        )


def _duration(text: str, flag: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"twin serve: {flag} {text}: {error}") from error


def _tell(served: "ServedEndpoints") -> None:
    """Where everything is; for people, and for scripts that wait for the last line."""
    proxy = served.gateway.url
    print(f"Kubernetes API  {served.api.url}")
    print(f"kubeconfig      export KUBECONFIG={served.kubeconfig}")
    print(f"gateway         {served.gateway.url}   (models by name; status page at /)")
    print(f"pods' engines   at 10.x.y.z by the HTTP proxy {proxy} (lora-controller --engine-proxy), or at 127.x.y.z")
    print("Ctrl-C ends it.", flush=True)


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does, also where a script has put it into the background, deaf to Ctrl-C."""

    def interrupt(_number: int, _frame: object) -> None:
        signal.raise_signal(signal.SIGINT)

    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@exit_code
def fault(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="As `twin faults` lists them.", show_default=False)],
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[FIELD=VALUE]...", help="Its fields, such as pods='{count: 2}'.")
    ] = None,
    lasts: Annotated[str | None, typer.Option("--for", help="How long it lasts; to the end if absent.")] = None,
    kubeconfig: _Config = KUBECONFIG,
) -> int:
    """Let a fault befall a served world now."""
    body = {"kind": kind, **_fields(settings or []), **({"for": lasts} if lasts else {})}
    with _world(kubeconfig) as client:
        answer = _asked(client.post("/twin/v1/faults", json=body), "twin fault")
    until = "" if answer["until"] is None else f", until {answer['until']:.0f} s after the start"
    print(f"fault {answer['number']}: {answer['kind']}{until}")
    return OK


@exit_code
def events(
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what happens.")] = False,
    tail: Annotated[int | None, typer.Option(min=0, help="Only so many lines of the past.", show_default=False)] = None,
    kubeconfig: _Config = KUBECONFIG,
) -> int:
    """Print what has happened in a served world, a JSON object a line."""
    query: dict[str, Any] = {"follow": int(follow), **({} if tail is None else {"tail": tail})}
    with _world(kubeconfig) as client, client.stream("GET", "/twin/v1/events", params=query, timeout=None) as answer:
        if answer.status_code != OK_STATUS:
            answer.read()
            _asked(answer, "twin events")
        for line in answer.iter_lines():
            print(line, flush=True)
    return OK


OK_STATUS = 200


@exit_code
def clock(
    speed: Annotated[float | None, typer.Option(help="Simulated seconds a second.", show_default=False)] = None,
    pause: Annotated[bool, typer.Option("--pause", help="Let time stand still.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Let time go on.")] = False,
    step: Annotated[str | None, typer.Option(help="Go on by so much as fast as possible, then stand still.")] = None,
    kubeconfig: _Config = KUBECONFIG,
) -> int:
    """Say how fast a served world goes, or change it."""
    if pause and resume:
        raise UsageError("twin clock: --pause and --resume go against each other; give one of them")
    asked: dict[str, Any] = {"speed": speed, "step": step, "paused": True if pause else False if resume else None}
    body = {name: value for name, value in asked.items() if value is not None}
    with _world(kubeconfig) as client:
        send = client.post("/twin/v1/clock", json=body, timeout=None) if body else client.get("/twin/v1/world")
        world = _asked(send, "twin clock")
    how = "paused" if world["paused"] else f"speed {world['speed']:g}"
    print(f"{world['name']}: {world['seconds']:.1f} s since the start, {how}")
    return OK


def _fields(settings: Sequence[str]) -> dict[str, Any]:
    """`FIELD=VALUE` with YAML values."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    found = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise UsageError(f"twin fault: {setting}: is no field; allowed: FIELD=VALUE, such as pods='{{count: 2}}'")
        try:
            found[name] = YAML(typ="safe", pure=True).load(text)
        except YAMLError as error:
            raise UsageError(f"twin fault: {setting}: is no YAML: {' '.join(str(error).split())}") from error
    return found


@dataclass(frozen=True, slots=True)
class ServerConnection:
    """How a served world is reached."""

    url: str
    headers: dict[str, str]
    trust: "ssl.SSLContext | bool"


def server_connection(path: Path) -> ServerConnection:
    """The way that a kubeconfig of `twin serve` says.

    Raises:
        UsageError: it is none.
    """
    import base64
    import ssl

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
        url, token = str(cluster["server"]), str(user["token"])
        ca = base64.b64decode(cluster.get("certificate-authority-data", "")).decode()
    except FileNotFoundError as error:
        raise UsageError(f"{path}: is not there; start a world with `twin serve`, or name its --kubeconfig") from error
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise UsageError(f"{path}: is no kubeconfig of `twin serve`: {error}") from error
    return ServerConnection(
        url, {"authorization": f"Bearer {token}"}, ssl.create_default_context(cadata=ca) if ca else True
    )


@contextmanager
def _world(path: Path) -> Iterator["httpx.Client"]:
    """A client for the world that a kubeconfig leads to."""
    import httpx

    connection = server_connection(path)
    try:
        with httpx.Client(
            base_url=connection.url, headers=connection.headers, verify=connection.trust, trust_env=False, timeout=10
        ) as client:
            yield client
    except httpx.TransportError as error:
        raise UsageError(
            f"{connection.url}: the served world does not answer ({error}); does `twin serve` still run?"
        ) from error


def _asked(answer: "httpx.Response", command: str) -> dict[str, Any]:
    """What was answered; a refusal is a line and exit code 2."""
    body: dict[str, Any] = answer.json()
    if not answer.is_success:
        raise UsageError(f"{command}: {body.get('message', answer.status_code)}")
    return body


def register(app: typer.Typer) -> None:
    """Hangs the commands on the application."""
    for command in (serve, fault, events, clock):
        app.command()(command)
