"""Command line of `lora-controller`. Each flag is also an environment variable.

One field of `Options` is one flag: `retry_base` is `--retry-base` and `LORA_CONTROLLER_RETRY_BASE`; the flag wins.
Names follow controller-runtime and kubectl where these have one. Defaults of the operator's behaviour come from
`settings.py`, so that a cluster and the twin have the same. The environment is an argument of `parse`, since
`twin capture` reads the flags and the environment of an operator in a pod.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from importlib.metadata import version
from ipaddress import ip_address
from typing import Any, TypeVar

import typer
from typer.exceptions import TyperException

from controller.backoff import Backoff
from controller.logging import LEVELS
from controller.option_types import (
    ADDRESS,
    BOOL,
    DURATION,
    NAMESPACES,
    POLICIES,
    POLICY,
    POSITIVE_DURATION,
    STRING,
    URL,
    OptionError,
    OptionType,
    integer,
    number,
    one_of,
    share,
)
from controller.rebalance.planner import ALGORITHMS, NONE, rebalance_problem
from controller.settings import ActivatorSettings, LeaseSettings, RebalanceSettings, Settings
from formats.errors import FormatError

T = TypeVar("T")

PREFIX = "LORA_CONTROLLER_"
RENAMED = {
    "aside_for": "pod_cooldown",
    "loads_per_pod": "max_requests_per_pod",
    "resync_interval": "sync_period",
    "retry_attempts": "retries",
    "stop_grace": "graceful_shutdown_timeout",
    "workers": "max_concurrent_reconciles",
}
"""Options of earlier releases and their present names."""

_SETTINGS, _LEASE, _BACKOFF, _REBALANCE = Settings(), LeaseSettings(), Backoff(), RebalanceSettings()
_HELP = "Kubernetes operator that loads LoRA adapters into engine pods, as ModelAdapters describe."
_EPILOG = (
    f"Every flag is also an environment variable: --log-format is {PREFIX}LOG_FORMAT. The flag takes precedence. "
    "Exit codes: 0 stopped by a signal, 1 failed while running, 2 could not start."
)


def _option(type: OptionType[T], default: T, help: str) -> T:
    """Return a field of `Options`."""
    return field(default=default, metadata={"type": type, "help": help})


@dataclass(frozen=True, slots=True)
class Options:
    """Options of one `lora-controller`."""

    # -- cluster
    kubeconfig: str = _option(
        STRING,
        "",
        "Path to a kubeconfig. If empty: KUBECONFIG, the pod's service account, ~/.kube/config, in this order.",
    )
    context: str = _option(STRING, "", "Context of the kubeconfig. If empty, its current context.")
    namespaces: tuple[str, ...] = _option(
        NAMESPACES, (), "Comma-separated namespaces to watch. If empty, all namespaces."
    )
    kube_api_qps: float = _option(
        number(0), 0.0, "Maximum requests per second to the API server. 0 sets no limit: the server has its own."
    )
    kube_api_burst: int = _option(integer(1), 200, "Maximum burst of requests to the API server, with --kube-api-qps.")
    kube_api_timeout: float = _option(POSITIVE_DURATION, 30.0, "Timeout of a request to the API server.")

    # -- leader election
    leader_elect: bool = _option(
        BOOL, True, "Elect a leader before acting. If false, refuse to start while another operator holds the Lease."
    )
    leader_elect_identity: str = _option(
        STRING,
        "",
        "Identity of this replica in the Lease; must be unique. If empty, the host name and a random suffix.",
    )
    leader_elect_namespace: str = _option(
        STRING, "", "Namespace of the Lease. If empty, that of the pod or of the context."
    )
    leader_elect_lease_duration: float = _option(
        POSITIVE_DURATION, _LEASE.duration, "Time after which another replica may take a Lease that was not renewed."
    )
    leader_elect_renew_deadline: float = _option(
        POSITIVE_DURATION, _LEASE.renew, "Time that the leader retries a renewal before it stops leading."
    )
    leader_elect_retry_period: float = _option(
        POSITIVE_DURATION, _LEASE.retry, "Delay between attempts to acquire or renew the Lease."
    )

    # -- reconciling
    policy: str = _option(POLICY, _SETTINGS.policy, "Placement policy of adapters whose schedulerName is default.")
    policies: tuple[str, ...] = _option(
        POLICIES, (), "Comma-separated further policies that a schedulerName may name, as module:Class."
    )
    scrape_interval: float = _option(
        POSITIVE_DURATION,
        _SETTINGS.scrape_interval,
        "Interval between reads of engine metrics, while a policy in use or autoscaling needs them.",
    )
    autoscaling_budget: int = _option(
        integer(0),
        _SETTINGS.autoscaling_budget,
        "Maximum number of replicas above their minimum that all adapters with autoscaling have in total. 0 sets no "
        "limit.",
    )
    rebalance: str = _option(
        one_of(NONE, *ALGORITHMS),
        _REBALANCE.algorithm,
        "Algorithm that moves replicas from full pods to empty ones: none, greedy, or min-cost-flow (fewest moves).",
    )
    rebalance_by: str = _option(
        one_of("adapters", "requests"),
        _REBALANCE.by,
        "What --rebalance makes even: adapters (their number) or requests (in flight, by engine metrics; greedy only).",
    )
    rebalance_tolerance: float = _option(
        share(), _REBALANCE.tolerance, "Share of the even load by which a pod may differ from it, from 0 to 1."
    )
    rebalance_interval: float = _option(
        POSITIVE_DURATION, _REBALANCE.interval, "Interval between plans of --rebalance while there is nothing to move."
    )
    rebalance_max_concurrent: int = _option(
        integer(1), _REBALANCE.max_concurrent, "Maximum number of moves under way at once."
    )
    rebalance_max_per_minute: int = _option(
        integer(1), _REBALANCE.max_per_minute, "Maximum number of moves begun within a minute."
    )
    max_concurrent_reconciles: int = _option(
        integer(1), _SETTINGS.max_concurrent_reconciles, "Maximum number of adapters reconciled concurrently."
    )
    max_requests_per_pod: int = _option(
        integer(1), _SETTINGS.max_requests_per_pod, "Maximum loads and unloads in flight on one engine."
    )
    stable_for: float = _option(
        DURATION, _SETTINGS.stable_for, "Time that a pod must have been Ready before it is chosen."
    )
    unready_grace: float = _option(
        DURATION, _SETTINGS.unready_grace, "Time that a replica on an unready pod is kept before another pod is chosen."
    )
    retries: int = _option(integer(0), _BACKOFF.retries, "Retries of a load on one pod after the first attempt.")
    retry_base: float = _option(POSITIVE_DURATION, _BACKOFF.base, "Delay before the first retry.")
    retry_factor: float = _option(number(1), _BACKOFF.factor, "Factor by which the delay grows with each retry.")
    retry_cap: float = _option(POSITIVE_DURATION, _BACKOFF.cap, "Maximum delay between retries.")
    retry_jitter: float = _option(number(0), _BACKOFF.jitter, "Maximum random share added to a delay.")
    retry_switch: str = _option(
        one_of("exhausted", "eager"),
        _SETTINGS.retry_switch,
        "When another pod takes the place of one that fails: exhausted (after its last retry) or eager (at once, if "
        "one without recent errors is available).",
    )
    pod_cooldown: float = _option(
        POSITIVE_DURATION,
        _SETTINGS.pod_cooldown,
        "Time that a pod is not used for an adapter after its last retry failed.",
    )
    list_timeout: float = _option(
        POSITIVE_DURATION, _SETTINGS.list_timeout, "Timeout of a request for an engine's list of adapters."
    )
    load_timeout: float = _option(
        POSITIVE_DURATION, _SETTINGS.load_timeout, "Timeout of a load, unless additionalConfig.timeout is set."
    )
    audit_interval: float = _option(
        POSITIVE_DURATION, _SETTINGS.audit_interval, "Interval between checks of the adapters that an engine lists."
    )
    sync_period: float = _option(DURATION, _SETTINGS.sync_period, "Full resync period. 0 disables resyncs.")
    enable_runtime_sidecar: bool = _option(
        BOOL, _SETTINGS.enable_runtime_sidecar, "Send requests through the runtime sidecar of pods that have one."
    )
    engine_proxy: str = _option(
        URL,
        "",
        "HTTP proxy to engines, for an operator outside the cluster network. HTTP_PROXY is not used for engines.",
    )
    graceful_shutdown_timeout: float = _option(
        DURATION, _SETTINGS.graceful_shutdown_timeout, "Time for requests in flight to finish after a stop signal."
    )

    # -- activator
    activator_bind_address: tuple[str, int] | None = _option(
        ADDRESS,
        None,
        "Address of the activator, which holds requests for adapters with activation.mode OnDemand. Use the engines' "
        "port, so that clients of the Services' DNS names reach it. 0 disables it.",
    )
    activator_ip: str = _option(
        STRING,
        "",
        "IP address at which clients reach the activator, published in EndpointSlices: the pod's. If empty, that of "
        "--activator-bind-address.",
    )
    activator_timeout: float = _option(
        POSITIVE_DURATION, 60.0, "Time for which a request is held while its adapter is loaded; then 503."
    )

    # -- logs, metrics, probes and traces
    log_format: str = _option(one_of("json", "console"), "json", "Log format: json or console.")
    log_level: str = _option(one_of(*LEVELS), "info", f"Minimum log level: {', '.join(LEVELS)}.")
    metrics_bind_address: tuple[str, int] | None = _option(
        ADDRESS, ("0.0.0.0", 8080), "Address of /metrics. 0 disables it."
    )
    health_probe_bind_address: tuple[str, int] | None = _option(
        ADDRESS, ("0.0.0.0", 8081), "Address of /healthz and /readyz. 0 disables them."
    )
    otlp_endpoint: str = _option(
        URL,
        "",
        "Base URL of an OpenTelemetry receiver (OTLP over HTTP, such as http://otel-collector:4318) that gets traces. "
        "If empty, OTEL_EXPORTER_OTLP_ENDPOINT; without both, nothing is traced.",
    )

    def settings(self, namespace: str) -> Settings:
        """Return the operator's settings; `namespace` is that of the Lease unless the options name one."""
        own = {"rebalance", "activator"}
        shared = {
            name: getattr(self, name) for name in Settings.__slots__ if name in Options.__slots__ and name not in own
        }
        return Settings(
            **shared,
            activator=self._activator(),
            rebalance=RebalanceSettings(
                algorithm=self.rebalance,
                by=self.rebalance_by,  # type: ignore[arg-type]
                tolerance=self.rebalance_tolerance,
                interval=self.rebalance_interval,
                max_concurrent=self.rebalance_max_concurrent,
                max_per_minute=self.rebalance_max_per_minute,
            ),
            backoff=Backoff(
                base=self.retry_base,
                factor=self.retry_factor,
                cap=self.retry_cap,
                retries=self.retries,
                jitter=self.retry_jitter,
            ),
            elect=True,  # without election the Lease shows other operators that one is running: see preflight.py
            lease=LeaseSettings(
                duration=self.leader_elect_lease_duration,
                renew=self.leader_elect_renew_deadline,
                retry=self.leader_elect_retry_period,
            ),
            namespace=self.leader_elect_namespace or namespace,
        )

    def _activator(self) -> ActivatorSettings | None:
        if self.activator_bind_address is None:
            return None
        host, port = self.activator_bind_address
        return ActivatorSettings(self.activator_ip or host, port, self.activator_timeout)


def flag(name: str) -> str:
    """Return the flag of a field of `Options`."""
    return f"--{name.replace('_', '-')}"


def variable(name: str) -> str:
    """Return the environment variable of a field of `Options`."""
    return PREFIX + name.upper()


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Return the options of a command line and an environment.

    Raises:
        OptionError: if one of them is not allowed; the message is one line.
        SystemExit: after `--help` and `--version`.
    """
    _refuse_unknown(arguments, environment)
    flags = _flags(arguments)
    values = {}
    for option in fields(Options):
        text, source = flags.get(option.name), flag(option.name)
        if text is None and variable(option.name) in environment:
            text, source = environment[variable(option.name)], variable(option.name)
        if text is not None:
            values[option.name] = _parse_value(option, text, source)
    options = Options(**values)
    _check_lease(options)
    _check_activator(options)
    if problem := rebalance_problem(options.rebalance, options.rebalance_by):
        raise OptionError(f"--rebalance={options.rebalance} --rebalance-by={options.rebalance_by}: {problem}")
    return options


def _refuse_unknown(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Refuse old names of flags and variables, and variables with the prefix that are no option."""
    for name in (argument.partition("=")[0] for argument in arguments):
        current = RENAMED.get(name.removeprefix("--").replace("-", "_")) if name.startswith("--") else None
        if current is not None:
            raise OptionError(f"unknown flag {name}; it is called {flag(current)} now")
    names = {variable(option.name) for option in fields(Options)}
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in names:
            current = RENAMED.get(name.removeprefix(PREFIX).lower())
            hint = f"it is called {variable(current)} now" if current else "see lora-controller --help"
            raise OptionError(f"unknown variable {name}; {hint}")


def _flags(arguments: Sequence[str]) -> dict[str, str | None]:
    """Return the texts of the flags. `--flag` alone is `--flag=true` for booleans, as in Go's pflag."""
    booleans = {flag(option.name) for option in fields(Options) if option.metadata["type"] is BOOL}
    args = [f"{argument}=true" if argument in booleans else argument for argument in arguments]
    try:
        result = _command().main(args, prog_name="lora-controller", standalone_mode=False)
    except TyperException as error:
        raise OptionError(f"{error.format_message().rstrip('.')}; see lora-controller --help") from None
    if not isinstance(result, dict):  # the exit code of --help and --version
        raise SystemExit(result)
    return result


def _command() -> Any:
    """Return a command with one text option per field of `Options`; it returns the texts."""

    def command(**texts: str | None) -> dict[str, str | None]:
        return texts

    keyword = inspect.Parameter.KEYWORD_ONLY
    options = [
        inspect.Parameter(option.name, keyword, default=_typer_option(option), annotation=str | None)
        for option in fields(Options)
    ]
    parameters = [inspect.Parameter("version", keyword, default=_VERSION, annotation=bool), *options]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(help=_HELP, epilog=_EPILOG)(command)
    return typer.main.get_command(app)


def _typer_option(option: "Field[Any]") -> Any:
    type, help = option.metadata["type"], option.metadata["help"]
    if option.default not in ("", ()):
        help = f"{help} (default {type.format(option.default)})"
    return typer.Option(None, flag(option.name), metavar=type.name, help=help, show_default=False)


def _show_version(requested: bool) -> None:
    if requested:
        print(f"lora-controller {version('lora-twin')}")
        raise typer.Exit


_VERSION = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Print the version and exit.")


def _parse_value(option: "Field[Any]", text: str, source: str) -> Any:
    try:
        return option.metadata["type"].parse(text)
    except (OptionError, FormatError) as error:
        raise OptionError(f"{source}={text}: {error}") from None


def _check_lease(options: Options) -> None:
    duration, renew = options.leader_elect_lease_duration, options.leader_elect_renew_deadline
    if not options.leader_elect_retry_period < renew < duration:
        raise OptionError(
            "--leader-elect-retry-period must be shorter than --leader-elect-renew-deadline, and that shorter than "
            f"--leader-elect-lease-duration; they are {options.leader_elect_retry_period:g}s, {renew:g}s, {duration:g}s"
        )


def _check_activator(options: Options) -> None:
    """Refuse an address of the activator that an EndpointSlice cannot have (Kubernetes, `ValidateEndpointIP`)."""
    if options.activator_bind_address is None:
        return
    text = options.activator_ip or options.activator_bind_address[0]
    try:
        ip = ip_address(text)
    except ValueError:
        ip = None
    if ip is None or ip.is_unspecified or ip.is_loopback or ip.is_link_local or ip.is_multicast:
        raise OptionError(
            f"--activator-bind-address: clients cannot reach {text or 'it'} by an EndpointSlice: set --activator-ip to "
            "the pod's IP address (status.podIP)"
        )
