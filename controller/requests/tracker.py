"""Requests in flight, and the outcome of the last request for each adapter and pod.

A request does not occupy a worker: it runs as its own task, and wakes its adapter when it ends. Everything here is in
memory only and may be lost at any time; what must survive is stored on the object (`api/annotations.py`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from controller.api.artifact import artifact_hash
from controller.api.types import ArtifactStatus, ModelAdapter
from controller.cache.pod_view import PodView
from controller.cache.secrets import SecretCache
from controller.client.interface import Unavailable
from controller.clock import Clock
from controller.engine.errors import EngineError
from controller.requests.engine_calls import CallResult, EngineCalls, PreparedLoad
from controller.requests.inspections import Inspection, Inspections
from controller.requests.outcomes import RequestOutcome
from controller.requests.slots import RequestSlots

Observer = Callable[[str, PodView, RequestOutcome], None]
"""Called with an adapter's key, the pod and the outcome when a load or unload ends."""


@dataclass(frozen=True, slots=True)
class AdapterRequests:
    """Requests for one adapter, by pod name."""

    in_flight: dict[str, str] = field(default_factory=dict)
    """Verb of the request."""
    outcomes: dict[str, RequestOutcome] = field(default_factory=dict)
    """Outcome of the last request that ended."""
    unsent: dict[str, float] = field(default_factory=dict)
    """Time of the last announced attempt whose request was not sent, in seconds since 1970."""


_MAX_INSPECTIONS = 32
"""Requests for facts about artifacts at once: stores limit the rate of requests."""


class RequestTracker:
    """All loads, unloads and lists of one operator. `wake` queues an adapter's key."""

    def __init__(
        self,
        calls: EngineCalls,
        slots: RequestSlots,
        secrets: SecretCache,
        clock: Clock,
        wake: Callable[[str], None],
        observer: Observer,
    ) -> None:
        self._calls = calls
        self._slots = slots
        self._secrets = secrets
        self._clock = clock
        self._wake = wake
        self._observer = observer
        self._tasks: dict[asyncio.Task[None], None] = {}
        """In order of creation; the order of a set would differ from run to run."""
        self._adapters: dict[str, AdapterRequests] = {}
        self._listing: dict[str, set[str]] = {}
        """Adapters that wait for a list of a pod's engine, by pod UID."""
        self.inspections = Inspections()
        self._inspecting = asyncio.Semaphore(_MAX_INSPECTIONS)

    @property
    def in_flight(self) -> int:
        """Number of requests that have not ended."""
        return len(self._tasks)

    def requests(self, adapter: str) -> AdapterRequests:
        """Return the adapter's requests. Not to be mutated."""
        return self._adapters.get(adapter) or AdapterRequests()

    async def prepare(self, adapter: ModelAdapter, pod: PodView) -> PreparedLoad | None:
        """Return a load that can be announced; None if the pod cannot be sent one, which counts as its outcome.

        Raises:
            Unavailable: what the load needs cannot be read now.
        """
        try:
            return await self._calls.prepare(adapter, pod)
        except EngineError as error:
            if error.retriable:
                raise Unavailable(error.message) from None
            result = CallResult(error, secret=self._secrets.version(adapter))
            outcome = self._outcome(adapter, pod, "load", result)
            self._store(adapter, pod, outcome)
            self._observer(adapter.key, pod, outcome)
            return None

    def load(self, prepared: PreparedLoad, announced: float, confirmed: float) -> None:
        """Send a load; its slot is reserved.

        `announced`: time in the announcement, in seconds since 1970. `confirmed`: loop time of its confirmation.
        """
        call = self._calls.load(prepared, confirmed)
        self._start(prepared.adapter, prepared.pod, "load", call, announced)

    def unload(self, adapter: ModelAdapter, pod: PodView) -> None:
        """Send an unload; its slot is reserved."""
        self._start(adapter, pod, "unload", self._calls.unload(adapter, pod))

    def list_adapters(self, adapter: ModelAdapter, pod: PodView) -> None:
        """List an engine's adapters; adapters that ask while a list is in flight share its answer."""
        waiting = self._listing.get(pod.uid)
        if waiting is not None:
            waiting.add(adapter.key)
            return
        self._listing[pod.uid] = {adapter.key}
        self._spawn(self._list(adapter, pod), f"list {pod.name}")

    def inspect(self, adapter: ModelAdapter, pod: PodView) -> None:
        """Let a pod's sidecar read the facts about the adapter's artifact."""
        self.inspections.store(adapter.key, Inspection(artifact_hash(adapter.spec), finished_at=0.0))
        self._spawn(self._inspect(adapter, pod), f"inspect {adapter.key} on {pod.name}")

    def record_unsent(self, adapter: str, pod: str, announced: float) -> None:
        """Record that an attempt that may have been announced will not be sent: it does not count as an attempt."""
        self._adapters.setdefault(adapter, AdapterRequests()).unsent[pod] = announced

    def forget_adapter(self, adapter: str) -> None:
        """Drop the outcomes of a deleted adapter."""
        self.inspections.forget(adapter)
        requests = self._adapters.get(adapter)
        if requests is not None:
            requests.outcomes.clear()
            requests.unsent.clear()
            self._drop_if_empty(adapter)

    def forget_pod(self, pod: PodView) -> None:
        """Drop what is kept for a deleted pod."""
        self._calls.forget(pod)
        self._slots.forget_pod(pod.key)

    def cancel(self) -> None:
        """Cancel all requests in flight; engines may still execute them."""
        for task in self._tasks:
            task.cancel()

    async def wait_idle(self) -> None:
        """Wait until the requests that are in flight now have ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(
        self, adapter: ModelAdapter, pod: PodView, verb: str, call: Awaitable[CallResult], announced: float = 0.0
    ) -> None:
        self._adapters.setdefault(adapter.key, AdapterRequests()).in_flight[pod.name] = verb
        self._spawn(self._run(adapter, pod, verb, call, announced), f"{verb} {adapter.key} on {pod.name}")

    def _spawn(self, work: Awaitable[None], name: str) -> None:
        async def body() -> None:
            await work

        task = asyncio.get_running_loop().create_task(body(), name=name)
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)

    async def _run(
        self, adapter: ModelAdapter, pod: PodView, verb: str, call: Awaitable[CallResult], announced: float
    ) -> None:
        key = adapter.key
        try:
            result = await call
            if result.sent:
                outcome = self._outcome(adapter, pod, verb, result)
                self._store(adapter, pod, outcome)
                if result.error is not None and result.error.of_engine:
                    self._calls.records.mark_failed(pod, outcome.finished_at)
                self._observer(key, pod, outcome)
            else:
                self.record_unsent(key, pod.name, announced)
        finally:
            self._adapters[key].in_flight.pop(pod.name, None)
            self._drop_if_empty(key)
            self._slots.release(pod.key)
            self._wake(key)

    def _outcome(self, adapter: ModelAdapter, pod: PodView, verb: str, result: CallResult) -> RequestOutcome:
        """Return the outcome, with the number of consecutive failures."""
        error, failures, doubtful = result.error, 0, False
        if error is not None:
            before = self.requests(adapter.key).outcomes.get(pod.name)
            series = before if before is not None and (before.verb, before.engine) == (verb, pod.engine) else None
            failures = 1 + (series.failures if series is not None else 0)
            doubtful = error.ambiguous or (series is not None and series.doubtful)
        return RequestOutcome(
            verb=verb,
            finished_at=self._clock.now().timestamp(),
            engine=pod.engine,
            generation=adapter.metadata.generation,
            secret=result.secret,
            error=error,
            failures=failures,
            doubtful=doubtful,
        )

    def _store(self, adapter: ModelAdapter, pod: PodView, outcome: RequestOutcome) -> None:
        self._adapters.setdefault(adapter.key, AdapterRequests()).outcomes[pod.name] = outcome

    def _drop_if_empty(self, adapter: str) -> None:
        requests = self._adapters[adapter]
        if not (requests.in_flight or requests.outcomes or requests.unsent):
            del self._adapters[adapter]

    async def _inspect(self, adapter: ModelAdapter, pod: PodView) -> None:
        facts: ArtifactStatus | None = None
        try:
            async with self._inspecting:
                facts = await self._calls.inspect(adapter, pod)
        except EngineError:
            pass  # the load reports it
        finally:
            finished = Inspection(artifact_hash(adapter.spec), self._clock.now().timestamp(), facts)
            self.inspections.store(adapter.key, finished)
        self._wake(adapter.key)

    async def _list(self, adapter: ModelAdapter, pod: PodView) -> None:
        try:
            await self._calls.list(adapter, pod)
        except EngineError:
            self._calls.records.mark_unanswered(pod)
        finally:
            waiting = self._listing.pop(pod.uid, set())
        for key in sorted(waiting):
            self._wake(key)
