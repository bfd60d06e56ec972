"""Builds the simulated cluster, runs the operator in it and lets time pass; start reading here.

`simulate` takes a scenario and returns the record of the run. Whether the run passed is decided by `twin/evaluate`.
"""

import asyncio
import contextlib
import gc
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from typing import Any, TypeVar

import simpy

from fake_vllm.distributions import Constant
from formats.timestamps import format_micro_time
from twin.apiserver import ApiError, Store
from twin.apiserver.meta.objects import EPOCH, split
from twin.faults import FaultContext
from twin.faults import lift as lift_fault
from twin.faults import start as start_faults
from twin.kernel.failures import reraise
from twin.kernel.loop import run
from twin.kernel.random_streams import Streams
from twin.scenario import Fault, Scenario
from twin.scenario.manifests.admission import definition
from twin.sim.settings import controller_settings, run_header, world_settings
from twin.sim.users import Users
from twin.trace.lines import EngineLine, Line
from twin.trace.recorder import Recorder
from twin.traffic.generator import Traffic
from twin.world.api_faults import ApiFaults
from twin.world.cluster import FIRST_ADDRESS, World
from twin.world.context import WorldContext
from twin.world.controller_replica import ApiRate, Replica, ReplicaContext
from twin.world.groups.definitions import definitions_for
from twin.world.network.engine_host import EngineHost, OnEngine
from twin.world.network.transport import Network

T = TypeVar("T")
Progress = Callable[[float], None]
"""Called with the number of simulated seconds that are done."""

_STEPS = 200
"""Number of progress reports in a run."""
_NETWORK = Constant(0.001)
"""Seconds from controller to engine and back, within one cluster."""
_GC_THRESHOLDS = (100_000, 50, 10)
FAILED = "SimulationFailed"
"""Reason of the Event about an object that the simulated cluster could not handle."""


@dataclass(frozen=True, slots=True)
class Result:
    """The record of a run."""

    lines: Sequence[Line]
    """All lines; the first is a `Run`."""
    partial: bool = False
    """True if the run was interrupted."""


def simulate(scenario: Scenario, progress: Progress | None = None) -> Result:
    """Run a scenario from t = 0 to its end. If interrupted (Ctrl-C), return the record so far."""
    simulation = Simulation(scenario)
    with _infrequent_gc():
        try:
            run(simulation.main(progress), simulation.env)
            partial = False
        except KeyboardInterrupt:
            partial = True
    simulation.recorder.close()
    return Result(simulation.recorder.lines, partial)


@contextmanager
def _infrequent_gc() -> Iterator[None]:
    """Collect cyclic garbage less often: a run creates little of it, and most of its objects live until its end.

    Objects that exist before it are not searched.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


@dataclass(frozen=True, slots=True)
class SimulationOptions:
    """Options of a simulation; the defaults are those of `twin run`.

    Attributes:
        epoch: wall time at t = 0.
        first_address: address of the first pod.
        replica: creates one of the operator's replicas, given its number.
        overhead: seconds that real sockets and processes may add to simulated times.
        on_engine: called for each event of an engine, after it has been recorded.
        survives: continue after an exception in the simulated cluster; it is recorded (see `twin/kernel/failures.py`).
    """

    epoch: datetime = EPOCH
    first_address: IPv4Address = FIRST_ADDRESS
    replica: Callable[[ReplicaContext, int], Replica] = Replica
    overhead: float = 0.0
    on_engine: OnEngine = lambda host, event, adapter, root: None  # noqa: ARG005
    survives: bool = False


class Simulation:
    """One run: builds all parts and connects them."""

    def __init__(self, scenario: Scenario, options: SimulationOptions = SimulationOptions()) -> None:
        self.scenario = scenario
        self._options = options
        self._faults = 0
        self.env = simpy.Environment()
        self.streams = Streams(scenario.seed)
        self.recorder = Recorder(lambda: float(self.env.now), scenario.secrets, options.epoch)
        self.recorder.emit(run_header(scenario, options.epoch, options.overhead))
        on_failure = self.record_failure if options.survives else reraise
        self.store = Store(self.wall_time, self._suffix, on_failure)
        self._context = WorldContext(self.env, self.store, self.streams, options.epoch, on_failure)
        settings = replace(world_settings(scenario), first_address=options.first_address)
        self.world = World(self._context, settings, self._on_engine)
        self.recorder.watch_store(self.store, self.world.workload_of)
        self.users = Users(self.env, self.store, self.recorder, scenario)
        self.api_faults = ApiFaults(self.env, self.store)
        self.network = Network(self.env, self.world.hosts.get, self.streams, self.recorder, _NETWORK)
        replica_context = self._replica_context()
        self.replicas = [options.replica(replica_context, number) for number in range(scenario.controller.replicas)]
        self.traffic = self._traffic()
        self.fault_context = self._fault_context()

    async def main(self, progress: Progress | None) -> None:
        """Run from the first manifest to the end."""
        await self.run_while(self._until_end(progress))

    async def run_while(self, work: Coroutine[Any, Any, T]) -> T:
        """Run from the first manifest until `work` is done; return its result."""
        try:
            self.start()
            return await work
        finally:
            await self.stop()
            pending = asyncio.all_tasks() - {asyncio.current_task()}
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    def start(self, *, controllers: bool = True) -> None:
        """Create the nodes and objects, and schedule everything that the scenario contains for later."""
        self.world.start()
        self._register_crds()
        self.users.apply_manifests()
        self._schedule_users()
        if controllers:
            for replica in self.replicas:
                replica.start()
        self.inject_faults(self.scenario.faults)
        if self.traffic is not None:
            self.traffic.start(self.scenario.duration)

    def inject_faults(self, items: Sequence[Fault]) -> int:
        """Schedule faults; return the id of the first one in the record."""
        first, self._faults = self._faults, self._faults + len(items)
        start_faults(items, self.fault_context, first)
        return first

    def lift_fault(self, number: int) -> None:
        """End a fault that is active, by its id in the record."""
        lift_fault(self.fault_context, number)

    async def stop(self) -> None:
        """Stop the replicas and the engines' running requests, which are not part of the run."""
        try:
            if self.traffic is not None:
                self.traffic.finish()
            for replica in self.replicas:
                await replica.stop()
        finally:
            for host in self.world.hosts.values():
                if host.engine is not None:
                    host.engine.close()

    async def _until_end(self, progress: Progress | None) -> None:
        duration = self.scenario.duration
        steps = _STEPS if progress is not None else 1
        for step in range(1, steps + 1):
            await asyncio.sleep(duration * step / steps - self.env.now)
            for replica in self.replicas:
                replica.check()
            if progress is not None:
                progress(float(self.env.now))

    def _register_crds(self) -> None:
        kinds = {item["kind"] for item in self.scenario.objects}
        for crd in (definition(), *definitions_for(kinds)):
            self.store.register_crd(crd)

    def _replica_context(self) -> ReplicaContext:
        """Return what the operator's replicas need."""
        controller = self.scenario.controller
        return ReplicaContext(
            env=self.env,
            epoch=self._options.epoch,
            store=self.store,
            network=self.network,
            streams=self.streams,
            recorder=self.recorder,
            settings=controller_settings(self.scenario),
            api_latency=self.scenario.cluster.api.latency,
            api_faults=self.api_faults,
            api_rate=ApiRate(controller.kube_api_qps, controller.kube_api_burst),
            activator_timeout=controller.activator_timeout,
        )

    def _fault_context(self) -> FaultContext:
        """Return what faults act on."""
        return FaultContext(
            env=self.env,
            store=self.store,
            world=self.world,
            streams=self.streams,
            recorder=self.recorder,
            api_faults=self.api_faults,
            replicas=self.replicas,
            restart=self.restart,
            duration=self.scenario.duration,
            api_latency=self.scenario.cluster.api.latency.upper(),
        )

    def _traffic(self) -> Traffic | None:
        settings = self.scenario.traffic
        if settings is None:
            return None
        weights = {
            f"{template.namespace}/{template.manifest(index)['metadata']['name']}": template.weight(index)
            for template in self.scenario.adapters
            for index in range(template.count)
        }
        return Traffic(self._context, self.network, self.recorder, settings, weights)

    def _schedule_users(self) -> None:
        for number, template in enumerate(self.scenario.adapters):
            stays = template.visits(self.streams.get(f"adapters/{number}"))
            for index, (arrives, leaves) in enumerate(stays):
                if arrives <= self.scenario.duration:
                    self.env.process(self.users.arrive(template.manifest(index), arrives, leaves))
        for edit in self.scenario.edits:
            self.env.process(self.users.edit(edit))

    def restart(self, replica: Replica, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, replica.start)

    def _on_engine(self, host: EngineHost, event: Any, adapter: str, root: str) -> None:
        self.recorder.emit(
            EngineLine(
                t=self.recorder.now(),
                object=host.pod,
                engine=host.container_id,
                event=event,
                adapter=adapter,
                root=root,
            )
        )
        self._options.on_engine(host, event, adapter, root)

    def record_failure(self, part: str, key: str, error: Exception) -> None:
        """Record an exception of the simulated cluster, and write an Event about its object."""
        self.recorder.record_failure(part, key, error)
        if not key:
            return

        def write(_: simpy.Event) -> None:
            namespace, name = split(key)
            note = f"{part} of the simulated cluster cannot handle this object: {type(error).__name__}: {error}"[:1024]
            event = {
                "metadata": {"generateName": "twin-", "namespace": namespace or "default"},
                "regarding": {"namespace": namespace, "name": name},
                "type": "Warning",
                "reason": FAILED,
                "note": note,
                "eventTime": format_micro_time(self.wall_time()),
                "action": "Simulate",
                "reportingController": "twin",
                "reportingInstance": "twin",
            }
            with contextlib.suppress(ApiError):  # its namespace may be gone
                self.store.create("events.events.k8s.io", event, namespace=namespace or "default")

        self.env.timeout(0).callbacks.append(write)  # a subscriber must not write

    def wall_time(self) -> datetime:
        """Return the present wall time of the cluster."""
        return self._options.epoch + timedelta(seconds=self.env.now)

    def _suffix(self) -> str:
        """Return five characters for `generateName`, from Kubernetes' alphabet."""
        alphabet = "bcdfghjklmnpqrstvwxz2456789"
        return "".join(alphabet[i] for i in self.streams.get("apiserver/names").integers(0, len(alphabet), 5))
