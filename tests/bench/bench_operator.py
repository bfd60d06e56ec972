"""Cost of one reconcile, which must not grow with the number of adapters and pods.

A steady world is made by the twin; then its operator's own reconciler is asked again and again. Figures are
microseconds of CPU; growth is from the smallest to the largest world, 1 is flat.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from controller.controller import Controller
from controller.policies import View, find
from controller.policies.interface import Candidate
from controller.reconcile.observe import observe
from controller.reconcile.planning.plan import plan
from controller.reconcile.reconciler import Reconciler
from controller.settings import Settings
from tests.controller.builders import NOW, a_pod, a_snapshot, an_adapter
from tests.twin.worlds import a_scenario, adapters
from twin.kernel.loop import run
from twin.sim.simulation import Progress, Simulation

WORLDS = ((100, 10), (1000, 10), (100, 100), (1000, 100))
"""(adapters, pods) of each world."""
_ROUNDS = 2000


def measure() -> dict[str, float]:
    """Return microseconds by operation and world, and growth."""
    figures: dict[str, float] = {}
    for count, pods in WORLDS:
        for what, cost in _world(count, pods).items():
            figures[f"{what}, {count} adapters on {pods} pods, us"] = cost
    for what in ("no-op reconcile", "plan"):
        first, last = (f"{what}, {count} adapters on {pods} pods, us" for count, pods in (WORLDS[0], WORLDS[-1]))
        figures[f"{what}: growth, ten times the adapters and pods"] = figures[last] / figures[first]
    waits = {pods: _waiting(pods) for pods in (100, 1000)}
    figures |= {f"plan of an adapter that waits for one of {pods} pods, us": cost for pods, cost in waits.items()}
    figures["plan of an adapter that waits: growth, ten times the pods"] = waits[1000] / waits[100]
    for name in ("least-adapters", "spread", "rendezvous", "load-aware"):
        figures[f"choice of {name} among 100 pods, us"] = _choice(name)
    return figures


def _world(count: int, pods: int) -> dict[str, float]:
    """Return both costs in one world, once all adapters are Running."""
    costs: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        template = adapters(count, replicas=2, arrive={"at": "20s"})
        scenario = a_scenario(Path(folder), pods=pods, adapters=[template], duration="10m")
    simulation = Simulation(scenario)
    asleep = simulation._until_end

    async def until_end(progress: Progress | None) -> None:
        await asleep(progress)
        controller = _controller(simulation)
        costs.update({"no-op reconcile": await _reconciles(controller._reconciler), "plan": _plans(controller)})

    simulation._until_end = until_end  # type: ignore[method-assign]
    run(simulation.main(None), simulation.env)
    return costs


def _controller(simulation: Simulation) -> Controller:
    operator = simulation.replicas[0]._operator
    assert operator is not None
    assert operator._controller is not None
    return operator._controller


async def _reconciles(reconciler: Reconciler) -> float:
    keys = [adapter.key for adapter in reconciler.dependencies.cache.adapters]
    started = time.process_time()
    for number in range(_ROUNDS):
        result = await reconciler.reconcile(keys[number % len(keys)])
        assert not result.with_actions
    return (time.process_time() - started) / _ROUNDS * 1e6


def _plans(controller: Controller) -> float:
    """Return the cost of the decisions, without observing and acting."""
    dependencies = controller._reconciler.dependencies
    snapshots = [observe(adapter, dependencies) for adapter in dependencies.cache.adapters]
    now = dependencies.clock.now().timestamp()
    settings, policy, rng = Settings(), find("default"), Random(0)
    return _each(lambda number: plan(snapshots[number % len(snapshots)], now, settings, policy, rng))


def _waiting(pods: int) -> float:
    """Return the cost of a plan for which no pod is stable yet."""
    waits = a_snapshot(pods=[a_pod(f"pod-{n:04}", ready_for=1) for n in range(pods)], adapter=an_adapter())
    settings, policy, rng = Settings(), find("default"), Random(0)
    return _each(lambda _: plan(waits, NOW, settings, policy, rng))


def _choice(name: str) -> float:
    pods = tuple(Candidate(f"pod-{n:03}", n % 7, 4, 16, f"node-{n % 25}", "abc"[n % 3]) for n in range(100))
    policy = find(name)
    return _each(lambda number: policy.choose(View(f"default/adapter-{number}", 2, pods, seed=number)))


def _each(call: Callable[[int], object]) -> float:
    started = time.process_time()
    for number in range(_ROUNDS):
        call(number)
    return (time.process_time() - started) / _ROUNDS * 1e6
