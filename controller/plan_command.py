"""`lora-controller plan`: print the moves that rebalancing would make now, and make none.

    lora-controller plan [--output table|json] [--from-files FILE,…] [FLAGS OF THE OPERATOR]

The fleet is read from the cluster, or from files that `kubectl get pods,modeladapters -A -o json` wrote. Without
`--rebalance` the plan is that of `min-cost-flow`.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from controller.api import annotations
from controller.api.types import MODEL_ADAPTERS, PODS, ModelAdapter, Pod
from controller.cache.pod_view import PodView, pod_view
from controller.cache.selector_index import SelectorIndex
from controller.clock import Clock
from controller.logging import logger
from controller.option_types import OptionError
from controller.options import Options, parse
from controller.policies import Policies
from controller.rebalance.fleet_view import FleetReader, PlacedAdapter, unsettled_pods
from controller.rebalance.planner import ALGORITHMS, NONE, RebalancePlan, plan_moves
from controller.rebalance.rebalancer import SETTLE
from controller.settings import Settings

HELP = __doc__ or ""
_DEFAULT = "min-cost-flow"


@dataclass(frozen=True, slots=True)
class PlanArguments:
    """Arguments of the command."""

    options: Options
    output: str = "table"
    files: tuple[str, ...] = ()


def parse_arguments(arguments: Sequence[str], environment: Mapping[str, str]) -> PlanArguments:
    """Return the arguments.

    Raises:
        OptionError: one of them is not allowed.
    """
    own = {"--output": "table", "--from-files": ""}
    others: list[str] = []
    left = list(arguments)
    while left:
        name, equals, value = left.pop(0).partition("=")
        if name not in own:
            others.append(name + equals + value)
        elif equals or left:
            own[name] = value if equals else left.pop(0)
        else:
            raise OptionError(f"{name} requires an argument")
    if own["--output"] not in ("table", "json"):
        raise OptionError(f"--output={own['--output']}: must be one of table, json")
    options = parse(others, environment)
    if options.rebalance_by != "adapters":
        raise OptionError("--rebalance-by=requests: only a running operator has measured requests; allowed: adapters")
    if options.rebalance == NONE:
        options = replace(options, rebalance=_DEFAULT)
    return PlanArguments(options, own["--output"], tuple(filter(None, own["--from-files"].split(","))))


async def show_plan(arguments: PlanArguments, clock: Clock) -> None:
    """Print the plan.

    Raises:
        OptionError: a file cannot be read, or the kubeconfig.
        ModuleNotFoundError: the kubernetes package is missing; files need none.
        ClientError: the API server did not answer.
    """
    options = arguments.options
    pods, adapters = _read_files(arguments.files) if arguments.files else await _read_cluster(options, clock)
    plan = plan_of(pods, adapters, options.settings("default"), now=clock.now().timestamp())
    print(as_json(plan) if arguments.output == "json" else as_table(plan))


def plan_of(pods: Iterable[Pod], adapters: Iterable[ModelAdapter], settings: Settings, *, now: float) -> RebalancePlan:
    """Return the plan for these objects. `now`: seconds since 1970."""
    views: dict[str, list[PodView]] = {}
    for pod in pods:
        views.setdefault(pod.metadata.namespace, []).append(pod_view(pod, ""))
    selectors, listed = SelectorIndex(), list(adapters)
    for adapter in listed:
        selectors.add(adapter, views.get(adapter.metadata.namespace, []))
    placed = (
        PlacedAdapter(adapter, annotations.read(adapter.metadata.annotations), selectors.pods_of(adapter.key))
        for adapter in listed
    )
    view = FleetReader(settings, Policies(settings.policy, settings.policies)).read(placed, now, None)
    unsettled = unsettled_pods(view.pods, (), settings, now=now, settle=SETTLE)
    algorithm = ALGORITHMS[settings.rebalance.algorithm]()
    return plan_moves(view.fleet, algorithm, settings.rebalance.tolerance, unsettled)


def as_json(plan: RebalancePlan) -> str:
    """Return the plan as JSON."""
    pods = {
        pod: {"adapters": round(load), "low": plan.bounds[pod].low, "high": plan.bounds[pod].high}
        | ({"held": plan.held[pod]} if pod in plan.held else {})
        for pod, load in sorted(plan.loads.items())
    }
    moves = [{"adapter": move.adapter, "from": move.source, "to": move.target} for move in plan.moves]
    return json.dumps({"moves": moves, "pods": pods}, indent=2)


def as_table(plan: RebalancePlan) -> str:
    """Return the plan as a table of moves, one of pods, and a line that says how many."""
    given = {pod: sum(move.source == pod for move in plan.moves) for pod in plan.loads}
    taken = {pod: sum(move.target == pod for move in plan.moves) for pod in plan.loads}
    pods = [
        (
            pod,
            f"{plan.loads[pod]:.0f}",
            f"{plan.loads[pod] - given[pod] + taken[pod]:.0f}",
            f"{plan.bounds[pod].low:.0f} to {plan.bounds[pod].high:.0f}",
            plan.held.get(pod, ""),
        )
        for pod in sorted(plan.loads)
    ]
    parts = [
        _columns(("ADAPTER", "FROM", "TO"), [(move.adapter, move.source, move.target) for move in plan.moves]),
        _columns(("POD", "ADAPTERS", "AFTER", "EVEN", "LEFT ALONE"), pods),
        f"{len(plan.moves)} move{'' if len(plan.moves) == 1 else 's'}",
    ]
    return "\n\n".join(parts if plan.moves else parts[1:])


def _columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[index]) for row in (head, *rows)) for index in range(len(head))]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows))
    return "\n".join(line.rstrip() for line in lines)


def _read_files(files: Iterable[str]) -> tuple[list[Pod], list[ModelAdapter]]:
    pods: list[Pod] = []
    adapters: list[ModelAdapter] = []
    for file in files:
        for item in _items(file):
            try:
                if item.get("kind") == PODS.kind:
                    pods.append(PODS.decode(item))
                elif item.get("kind") == MODEL_ADAPTERS.kind:
                    adapters.append(MODEL_ADAPTERS.decode(item))
            except msgspec.ValidationError as error:
                name = item.get("metadata", {}).get("name", "?")
                raise OptionError(f"--from-files={file}: {item['kind']} {name}: {error}") from None
    return pods, adapters


def _items(file: str) -> list[dict[str, Any]]:
    try:
        body = json.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"--from-files={file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise OptionError(f"--from-files={file}: not UTF-8 ({error.reason})") from None
    except json.JSONDecodeError as error:
        hint = "allowed: what `kubectl get pods,modeladapters -A -o json` writes"
        raise OptionError(f"--from-files={file}: not JSON ({error}); {hint}") from None
    items = body.get("items", [body]) if isinstance(body, dict) else body
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise OptionError(f"--from-files={file}: not a list of Kubernetes objects")
    return items


async def _read_cluster(options: Options, clock: Clock) -> tuple[list[Pod], list[ModelAdapter]]:
    from controller.client.config import ConfigError, find_config
    from controller.client.namespaced import NamespacedClient
    from controller.client.ratelimit import rate_limits
    from controller.client.rest import RestClient
    from controller.client.transport import Connection

    rng, log = Random(), logger(clock, sys.stderr, format="console", level="warning")
    try:
        config = find_config(options.kubeconfig, options.context, clock)
    except ConfigError as error:
        raise OptionError(str(error)) from None
    async with AsyncExitStack() as stack:
        limits = rate_limits(options.kube_api_qps, options.kube_api_burst)
        connection = await stack.enter_async_context(
            Connection(config, limits=limits, timeout=options.kube_api_timeout, rng=rng)
        )
        client: Any = RestClient(connection, rng, log)
        if options.namespaces:
            client = NamespacedClient(client, options.namespaces)
        return (await client.list(PODS)).items, (await client.list(MODEL_ADAPTERS)).items
