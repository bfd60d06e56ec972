"""The flags of `lora-controller`, each also an environment variable; `--help` is made from what is written here.

One field of `Options` is one flag: `retry_base` is `--retry-base` and `LORA_CONTROLLER_RETRY_BASE`. A flag wins over
the environment. The names are those of controller-runtime and kubectl where these have one. Defaults of what the
operator decides by come from `settings.py`, so that a cluster and the twin have the same.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from importlib.metadata import version
from typing import Any, NoReturn

from controller.backoff import Backoff
from controller.logging import LEVELS
from controller.option_types import (
    OptionError,
    address,
    boolean,
    count,
    duration,
    namespaces_list,
    number,
    one_of,
    policy_name,
    policy_names,
    positive_duration,
    url,
)
from controller.settings import LeaseSettings, Settings

PREFIX = "LORA_CONTROLLER_"

RENAMED = {
    "aside_for": "pod_cooldown",
    "loads_per_pod": "max_requests_per_pod",
    "resync_interval": "sync_period",
    "retry_attempts": "retries",
    "stop_grace": "graceful_shutdown_timeout",
    "workers": "max_concurrent_reconciles",
}
"""Options of earlier releases and their names now."""

_SETTINGS, _LEASE, _BACKOFF = Settings(), LeaseSettings(), Backoff()


def _option(default: Any, parse: Callable[[str], Any], help: str, shown: str = "") -> Any:
    """A field of `Options`; `shown` is the default as users would write it."""
    return field(default=default, metadata={"parse": parse, "help": help, "shown": shown or _written(default)})


def _written(default: Any) -> str:
    return f"{default:g}" if isinstance(default, float) else str(default).lower() if default != () else ""


def _seconds(default: float, help: str, parse: Callable[[str], float] = positive_duration) -> Any:
    return _option(default, parse, help, f"{default:g}s")


@dataclass(frozen=True, slots=True)
class Options:
    """What `lora-controller` was told."""

    # -- the cluster
    kubeconfig: str = _option(
        "", str, "Kubeconfig to reach the cluster by; else KUBECONFIG, the pod's service account, or ~/.kube/config."
    )
    context: str = _option("", str, "Context of the kubeconfig, if not its current one.")
    namespaces: tuple[str, ...] = _option((), namespaces_list, "Namespaces to act in, comma-separated; all if empty.")
    kube_api_qps: float = _option(
        100.0, number(0), "Requests a second to the API server, in the long run; 0 is no limit."
    )
    kube_api_burst: int = _option(200, count(1), "Requests to the API server at once.")
    kube_api_timeout: float = _seconds(30.0, "Longest wait for an answer of the API server.")

    # -- who acts
    leader_elect: bool = _option(
        True, boolean, "Stand by while another replica leads; if false, refuse to start beside another one."
    )
    leader_elect_identity: str = _option(
        "", str, "What the Lease calls this replica; host name and a random part if empty. No two may have the same."
    )
    leader_elect_namespace: str = _option("", str, "Namespace of the Lease; that of the pod or context if empty.")
    leader_elect_lease_duration: float = _seconds(
        _LEASE.duration, "How long others wait for a leader that says nothing."
    )
    leader_elect_renew_deadline: float = _seconds(_LEASE.renew, "How long a leader acts without a renewal.")
    leader_elect_retry_period: float = _seconds(_LEASE.retry, "Between attempts to take or renew the Lease.")

    # -- how it acts
    policy: str = _option(_SETTINGS.policy, policy_name, "Placement policy of adapters whose schedulerName is default.")
    policies: tuple[str, ...] = _option(
        (), policy_names, "Further policies that a schedulerName may name, as module:Class, comma-separated."
    )
    scrape_interval: float = _seconds(
        _SETTINGS.scrape_interval, "Between two readings of engines' metrics, while a policy in use needs them."
    )
    max_concurrent_reconciles: int = _option(
        _SETTINGS.max_concurrent_reconciles, count(1), "Adapters that are reconciled at once."
    )
    max_requests_per_pod: int = _option(
        _SETTINGS.max_requests_per_pod, count(1), "Loads and unloads under way on one engine."
    )
    stable_for: float = _seconds(_SETTINGS.stable_for, "How long a pod must have been Ready to be chosen.", duration)
    unready_grace: float = _seconds(
        _SETTINGS.unready_grace,
        "How long a replica on an unready pod is kept before another takes its place.",
        duration,
    )
    retries: int = _option(_BACKOFF.retries, count(0), "Retries on one pod after the first attempt.")
    retry_base: float = _seconds(_BACKOFF.base, "Wait before the first retry.")
    retry_factor: float = _option(_BACKOFF.factor, number(1), "How much longer each wait is than the last.")
    retry_cap: float = _seconds(_BACKOFF.cap, "Longest wait between retries.")
    retry_jitter: float = _option(_BACKOFF.jitter, number(0), "Share of each wait that is drawn at random on top.")
    pod_cooldown: float = _seconds(_SETTINGS.pod_cooldown, "How long a pod is left aside after its last retry.")
    list_timeout: float = _seconds(_SETTINGS.list_timeout, "Longest wait for an engine's list of adapters.")
    load_timeout: float = _seconds(_SETTINGS.load_timeout, "Longest load, where additionalConfig.timeout says nothing.")
    audit_interval: float = _seconds(_SETTINGS.audit_interval, "Between two looks at what an engine holds.")
    sync_period: float = _seconds(
        _SETTINGS.sync_period, "Between two looks at every adapter without cause; 0 is never.", duration
    )
    enable_runtime_sidecar: bool = _option(
        _SETTINGS.enable_runtime_sidecar, boolean, "Speak to pods that have the runtime sidecar through it."
    )
    engine_proxy: str = _option(
        "", url, "HTTP proxy to engines, for an operator outside the cluster network; HTTP_PROXY is not used for them."
    )
    graceful_shutdown_timeout: float = _seconds(
        _SETTINGS.graceful_shutdown_timeout, "How long requests under way may take when told to stop.", duration
    )

    # -- how it is watched
    log_format: str = _option("json", one_of("json", "console"), "One JSON object a line, or text for people.")
    log_level: str = _option("info", one_of(*LEVELS), f"Least level that is logged: {', '.join(LEVELS)}.")
    metrics_bind_address: tuple[str, int] | None = _option(
        ("0.0.0.0", 8080), address, "Where /metrics is served; 0 is nowhere.", ":8080"
    )
    health_probe_bind_address: tuple[str, int] | None = _option(
        ("0.0.0.0", 8081), address, "Where /healthz and /readyz are served; 0 is nowhere.", ":8081"
    )

    def settings(self, namespace: str) -> Settings:
        """The operator's settings; the Lease is in `namespace` unless the options say otherwise."""
        return Settings(
            policy=self.policy,
            policies=self.policies,
            scrape_interval=self.scrape_interval,
            backoff=Backoff(
                base=self.retry_base,
                factor=self.retry_factor,
                cap=self.retry_cap,
                retries=self.retries,
                jitter=self.retry_jitter,
            ),
            stable_for=self.stable_for,
            unready_grace=self.unready_grace,
            pod_cooldown=self.pod_cooldown,
            max_concurrent_reconciles=self.max_concurrent_reconciles,
            max_requests_per_pod=self.max_requests_per_pod,
            audit_interval=self.audit_interval,
            list_timeout=self.list_timeout,
            load_timeout=self.load_timeout,
            graceful_shutdown_timeout=self.graceful_shutdown_timeout,
            sync_period=self.sync_period,
            enable_runtime_sidecar=self.enable_runtime_sidecar,
            elect=True,  # without election, the Lease says that somebody acts: see kube_preflight
            lease=LeaseSettings(
                duration=self.leader_elect_lease_duration,
                renew=self.leader_elect_renew_deadline,
                retry=self.leader_elect_retry_period,
            ),
            namespace=self.leader_elect_namespace or namespace,
        )


def flag(name: str) -> str:
    """How a field of `Options` is written on the command line."""
    return f"--{name.replace('_', '-')}"


def variable(name: str) -> str:
    """How a field of `Options` is written in the environment."""
    return PREFIX + name.upper()


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Reads the command line and the environment.

    Raises:
        OptionError: one of them cannot be used; says which and why.
    """
    _refuse_renamed(arguments)
    known = {variable(item.name) for item in fields(Options)}
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            current = RENAMED.get(name.removeprefix(PREFIX).lower())
            hint = f"it is called {variable(current)} now" if current else "see lora-controller --help"
            raise OptionError(f"unknown variable {name}; {hint}")
    given = vars(_parser().parse_args(list(arguments)))
    values = {}
    for item in fields(Options):
        written, source = given.get(item.name), flag(item.name)
        if written is None and variable(item.name) in environment:
            written, source = environment[variable(item.name)], variable(item.name)
        if written is not None:
            values[item.name] = _parsed(item, written, source)
    options = Options(**values)
    _check_lease(options)
    return options


def _refuse_renamed(arguments: Sequence[str]) -> None:
    for argument in arguments:
        name = argument.partition("=")[0]
        current = RENAMED.get(name.removeprefix("--").replace("-", "_")) if name.startswith("--") else None
        if current is not None:
            raise OptionError(f"unknown flag {name}; it is called {flag(current)} now")


def _parsed(item: "Field[Any]", written: str, source: str) -> Any:
    try:
        return item.metadata["parse"](written)
    except OptionError as error:
        raise OptionError(f"{source}={written}: {error}") from None


def _check_lease(options: Options) -> None:
    duration, renew = options.leader_elect_lease_duration, options.leader_elect_renew_deadline
    if not options.leader_elect_retry_period < renew < duration:
        raise OptionError(
            "--leader-elect-retry-period must be shorter than --leader-elect-renew-deadline, and that shorter than "
            f"--leader-elect-lease-duration; they are {options.leader_elect_retry_period:g}s, {renew:g}s, {duration:g}s"
        )


class _OneLine(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise OptionError(f"{message}; see lora-controller --help")


def _parser() -> argparse.ArgumentParser:
    parser = _OneLine(
        prog="lora-controller",
        usage="lora-controller [--FLAG VALUE ...]",
        description="The operator for ModelAdapters: keeps LoRA adapters loaded in the engine pods of a cluster.",
        epilog=f"Every flag is also an environment variable: --log-format is {PREFIX}LOG_FORMAT. The flag wins. "
        "Exit codes: 0 stopped as asked, 1 failed while running, 2 could not start as it was told to.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"lora-controller {version('lora-twin')}")
    for item in fields(Options):
        text = item.metadata["help"] + (f" Default {shown}." if (shown := item.metadata["shown"]) else "")
        switch = item.metadata["parse"] is boolean
        parser.add_argument(
            flag(item.name),
            dest=item.name,
            default=None,
            nargs="?" if switch else None,
            const="true" if switch else None,
            metavar="BOOL" if switch else "VALUE",
            help=text.replace("%", "%%"),
        )
    return parser
