"""Requests to engines, under way and ended: who is busy, how it ended, what engines listed last.

A request never occupies a worker: it runs as a task of its own, and when it ends the keys that care are queued
again. At most `max_requests_per_pod` loads and unloads are in flight on one engine, so a slow engine only delays
adapters placed on it. What is kept here is in memory alone and may be lost at any moment; what must survive
is on the object (`annotations.py`).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from controller.api.spec import artifact_of, load_timeout, lora_path
from controller.api.types import ModelAdapter
from controller.cache.pod_view import PodView
from controller.cache.routing import route_port, uses_sidecar
from controller.cache.secrets import SecretCache
from controller.clock import Clock
from controller.engine.client import Address, EngineClient, LoadOrder
from controller.engine.errors import AlreadyLoaded, EngineError, RemoveFailed
from controller.requests.outcomes import SEND_WITHIN, Inventory, RequestOutcome
from controller.settings import Settings


class _Unsent(EngineError):
    """Nothing was sent, so no attempt was made."""


class RequestTracker:
    """All requests of one operator. `wake` queues an adapter's key."""

    def __init__(
        self,
        client: EngineClient,
        clock: Clock,
        settings: Settings,
        credentials: SecretCache,
        wake: Callable[[str], None],
    ) -> None:
        self._client = client
        self._clock = clock
        self._settings = settings
        self._credentials = credentials
        self._wake = wake
        self._tasks: dict[asyncio.Task[None], None] = {}
        """In the order in which they began: a set has them by address, and would end them in another each run."""
        self._busy: dict[str, dict[str, str]] = {}
        self._outcomes: dict[str, dict[str, RequestOutcome]] = {}
        self._inventories: dict[str, Inventory] = {}
        self._slots: dict[str, int] = {}
        self._waiting: dict[str, deque[str]] = {}
        self._offered: dict[str, set[str]] = {}
        self._looking: dict[str, set[str]] = {}
        self._confirmed: dict[str, int] = {}
        self._silent: dict[str, str] = {}
        self._sent: dict[tuple[str, str], str] = {}
        """Versions of the Secrets that a load under way was sent with, by adapter and pod."""
        self.on_finished: Callable[[str, PodView, RequestOutcome], None] = lambda *_: None

    # -- what is known

    def busy(self, adapter: str) -> dict[str, str]:
        """Verb of the request under way, by pod name."""
        return self._busy.get(adapter, {})

    def outcomes(self, adapter: str) -> dict[str, RequestOutcome]:
        """How the last request ended, by pod name."""
        return self._outcomes.get(adapter, {})

    def inventory(self, pod: PodView) -> Inventory | None:
        """What the pod's present incarnation listed last."""
        known = self._inventories.get(pod.uid)
        return known if known is not None and known.engine == pod.engine else None

    def did_not_answer(self, pod: PodView) -> bool:
        """Whether the pod's present incarnation was asked what it holds, and did not say."""
        return self._silent.get(pod.uid) == pod.engine

    def has_slot(self, pod: str) -> bool:
        """`pod` is `namespace/name`."""
        return self._slots.get(pod, 0) < self._settings.max_requests_per_pod

    # -- bookkeeping

    def reserve(self, pod: str) -> None:
        """Takes a slot on the engine for a request that is about to be announced."""
        self._slots[pod] = self._slots.get(pod, 0) + 1

    def release(self, pod: str) -> None:
        """Gives a slot back, and offers it to who has waited longest."""
        self._slots[pod] -= 1
        if not self._slots[pod]:
            del self._slots[pod]
        self._offer(pod)

    def reconcile_finished(self, adapter: str) -> None:
        """A reconcile is over: what it was offered and has not taken goes to the next who waits."""
        for pod in sorted(self._offered.pop(adapter, ())):
            self._offer(pod)

    def _offer(self, pod: str) -> None:
        waiting = self._waiting.get(pod)
        if waiting and self.has_slot(pod):
            adapter = waiting.popleft()
            self._offered.setdefault(adapter, set()).add(pod)
            self._wake(adapter)

    def wait_for_slot(self, adapter: str, pod: str) -> None:
        queue = self._waiting.setdefault(pod, deque())
        if adapter not in queue:
            queue.append(adapter)

    def forget_adapter(self, adapter: str) -> None:
        """The object is gone."""
        self._outcomes.pop(adapter, None)

    def forget_pod(self, pod: PodView) -> None:
        self._inventories.pop(pod.uid, None)
        self._confirmed.pop(pod.uid, None)
        self._silent.pop(pod.uid, None)
        self._client.forget(pod.ip)
        for key in self._waiting.pop(f"{pod.namespace}/{pod.name}", ()):
            self._wake(key)

    def cancel(self) -> None:
        """Gives up all requests under way; engines may still do what they were asked."""
        for task in self._tasks:
            task.cancel()

    @property
    def in_flight(self) -> int:
        """How many requests have not ended."""
        return len(self._tasks)

    async def wait_idle(self) -> None:
        """Waits until the requests that are under way now have ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- requests

    def load(self, adapter: ModelAdapter, pod: PodView, announced: float) -> None:
        """Sends a load that was announced at `announced` (seconds since 1970); its slot is reserved."""
        self._start(adapter, pod, "load", self._load(adapter, pod, announced))

    def unload(self, adapter: ModelAdapter, pod: PodView) -> None:
        """Sends an unload; its slot is reserved."""
        self._start(adapter, pod, "unload", self._unload(adapter, pod))

    def cancel_announced(self, adapter: ModelAdapter, pod: PodView) -> None:
        """Notes that a load was announced and will not be sent, so that the next plan need not wait for its end."""
        self._outcomes.setdefault(adapter.key, {})[pod.name] = RequestOutcome(
            verb="withdrawn",
            finished_at=self._clock.now().timestamp(),
            engine=pod.engine,
            generation=adapter.metadata.generation,
            secret=self._credentials.version(adapter),
        )

    def list_adapters(self, adapter: ModelAdapter, pod: PodView) -> None:
        """Asks an engine what it holds; who asks while an answer is under way gets the same answer."""
        asking = self._looking.get(pod.uid)
        if asking is not None:
            asking.add(adapter.key)
            return
        self._looking[pod.uid] = {adapter.key}
        self._spawn(self._look(adapter, pod), f"look {pod.name}")

    async def audit(self, adapter: ModelAdapter, pod: PodView) -> set[str] | None:
        """Asks an engine what it holds; returns names that appeared or vanished since, None if it did not answer."""
        before = self.inventory(pod)
        try:
            models = await self._list(await self._address(adapter, pod), pod)
        except EngineError as error:
            self._doubt(adapter, error)
            return None
        old = before.models if before is not None else {}
        unclear = set(before.unclear) if before is not None else set()
        if models is old:
            return unclear
        return unclear | {name for name in old.keys() | models.keys() if old.get(name) != models.get(name)}

    # -- inside

    def _start(self, adapter: ModelAdapter, pod: PodView, verb: str, request: Awaitable[EngineError | None]) -> None:
        self._busy.setdefault(adapter.key, {})[pod.name] = verb
        self._spawn(self._run(adapter, pod, verb, request), f"{verb} {adapter.key} on {pod.name}")

    def _spawn(self, work: Awaitable[None], name: str) -> None:
        async def body() -> None:
            await work

        task = asyncio.get_running_loop().create_task(body(), name=name)
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)

    async def _run(
        self, adapter: ModelAdapter, pod: PodView, verb: str, request: Awaitable[EngineError | None]
    ) -> None:
        key = adapter.key
        try:
            error = await request
            self._finish(adapter, pod, verb, error)
        finally:
            busy = self._busy.get(key, {})
            busy.pop(pod.name, None)
            if not busy:
                self._busy.pop(key, None)
            self.release(f"{pod.namespace}/{pod.name}")
            self._wake(key)

    def _finish(self, adapter: ModelAdapter, pod: PodView, verb: str, error: EngineError | None) -> None:
        if isinstance(error, _Unsent):
            verb, error = "unsent", None
        secret = self._sent.pop((adapter.key, pod.name), None) or self._credentials.version(adapter)
        self._doubt(adapter, error)
        before = self._outcomes.get(adapter.key, {}).get(pod.name)
        failures, doubtful = 0, False
        if error is not None:
            row = before if before is not None and (before.verb, before.engine) == (verb, pod.engine) else None
            failures = 1 + (row.failures if row is not None else 0)
            doubtful = error.ambiguous or (row is not None and row.doubtful)
        outcome = RequestOutcome(
            verb=verb,
            finished_at=self._clock.now().timestamp(),
            engine=pod.engine,
            generation=adapter.metadata.generation,
            secret=secret,
            error=error,
            failures=failures,
            doubtful=doubtful,
        )
        self._outcomes.setdefault(adapter.key, {})[pod.name] = outcome
        known = self.inventory(pod)
        if error is not None and error.ambiguous:
            self._silent.pop(pod.uid, None)
            if known is not None:
                unclear = known.unclear | {adapter.metadata.name}
                self._inventories[pod.uid] = replace(known, unclear=unclear)
        self.on_finished(adapter.key, pod, outcome)

    async def _load(self, adapter: ModelAdapter, pod: PodView, announced: float) -> EngineError | None:
        name, path = adapter.metadata.name, lora_path(adapter.spec.artifact_url)
        timeout = load_timeout(adapter.spec, self._settings.load_timeout)
        try:
            address = await self._address(adapter, pod)
        except EngineError as error:
            return _Unsent(error.reason, error.message, retriable=True)
        try:
            order = await self._order(adapter, pod)
            self._sent[adapter.key, pod.name] = self._credentials.version(adapter)
            if self._clock.now().timestamp() > announced + SEND_WITHIN:
                return _Unsent("Late", "the announcement was too old when its request could be sent", retriable=True)
            try:
                if order is not None:
                    path = await self._client.order(address, order, timeout)
                else:
                    await self._client.load(address, name, path, timeout)
            except AlreadyLoaded:
                return await self._settle_name(address, pod, name, path)
        except EngineError as error:
            return error
        self._holds(pod, name, path)
        return None

    async def _order(self, adapter: ModelAdapter, pod: PodView) -> LoadOrder | None:
        """What the pod's sidecar is asked for; None if it is spoken to directly."""
        if not uses_sidecar(pod, self._settings):
            return None
        credentials = await self._credentials.for_store(adapter)
        if credentials and not pod.owned:
            why = f"pod {pod.name} was made by no controller, and credentials are sent to no such pod"
            raise EngineError("CredentialsWithheld", why, retriable=False)
        config = {name: value for name, value in adapter.spec.additional_config.items() if name != "api-key"}
        return LoadOrder(adapter.metadata.name, adapter.spec.artifact_url, credentials, config)

    async def _settle_name(self, address: Address, pod: PodView, name: str, path: str) -> EngineError | None:
        """The name is taken: success if by the wanted artifact, else the next plan sees what has to go first."""
        try:
            models = await self._list(address, pod)
        except EngineError as error:
            return error
        if name in models and artifact_of(models[name]) == artifact_of(path):
            return None
        taken = f"the name is taken by {models.get(name, 'an adapter that is not listed')!r}"
        return EngineError("NameTaken", taken, retriable=True)

    async def _unload(self, adapter: ModelAdapter, pod: PodView) -> EngineError | None:
        name, timeout = adapter.metadata.name, self._settings.load_timeout
        try:
            address = await self._address(adapter, pod)
            try:
                if uses_sidecar(pod, self._settings):
                    await self._client.cancel(address, name, self._settings.list_timeout)
                else:
                    await self._client.unload(address, name, self._settings.list_timeout)
            except RemoveFailed:
                # vLLM 0.28 on: the weights were pushed out of its cache, and only a load brings the name within reach.
                path = self._root(pod, name) or lora_path(adapter.spec.artifact_url)
                await self._client.load(address, name, path, timeout, in_place=True)
                await self._client.unload(address, name, self._settings.list_timeout)
        except EngineError as error:
            return error
        self._holds(pod, name, None)
        return None

    async def _look(self, adapter: ModelAdapter, pod: PodView) -> None:
        try:
            address = await self._address(adapter, pod)
            await self._list(address, pod)
        except EngineError:
            self._silent[pod.uid] = pod.engine
        finally:
            asking = self._looking.pop(pod.uid, set())
        for key in sorted(asking):
            self._wake(key)

    async def _list(self, address: Address, pod: PodView) -> Mapping[str, str]:
        """What the engine holds, kept as the pod's inventory.

        A list that was under way while a load or unload was confirmed may be older than that: it is asked again.
        """
        while True:
            confirmed = self._confirmed.get(pod.uid, 0)
            listed = await self._client.models(address, self._settings.list_timeout)
            if confirmed == self._confirmed.get(pod.uid, 0):
                break
        self._silent.pop(pod.uid, None)
        known = self.inventory(pod)
        if known is None or known.models is not listed.adapters or known.unclear:
            self._inventories[pod.uid] = Inventory(pod.engine, listed.adapters, listed.bases)
        return listed.adapters

    async def _address(self, adapter: ModelAdapter, pod: PodView) -> Address:
        key = await self._credentials.engine_key(adapter)
        return Address(pod.ip, route_port(pod, self._settings), key, pod.flavor)

    def _root(self, pod: PodView, name: str) -> str:
        known = self.inventory(pod)
        return known.models.get(name, "") if known is not None else ""

    def _holds(self, pod: PodView, name: str, root: str | None) -> None:
        """An engine confirmed that it holds (or, with None, no longer holds) an adapter."""
        self._confirmed[pod.uid] = self._confirmed.get(pod.uid, 0) + 1
        known = self.inventory(pod)
        if known is None:
            return  # what else it holds is not known; that this one ended well says the outcome
        models = {other: path for other, path in known.models.items() if other != name}
        if root is not None:
            models[name] = root
        self._inventories[pod.uid] = replace(known, models=models, unclear=known.unclear - {name})

    def _doubt(self, adapter: ModelAdapter, error: EngineError | None) -> None:
        if error is not None and error.reason == "Unauthorized":
            self._credentials.invalidate(adapter)
