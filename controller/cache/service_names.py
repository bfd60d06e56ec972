"""Whether an adapter's name is free for its Service: asked once, before anything is loaded.

A Service of that name which somebody else made is never taken over: it would get the adapter as its owner, and go with
it when the adapter is deleted. The operator's own Services carry its label; those are all that its cache holds.
"""

from dataclasses import dataclass

from controller.api.labels import NAME_LABEL
from controller.api.spec import SpecProblem
from controller.api.types import SERVICES, ModelAdapter
from controller.client.interface import Client, NotFound
from controller.clock import Clock

LOOKED_AGAIN = 60.0
"""Seconds after which a name that was taken is asked for again."""


@dataclass(frozen=True, slots=True)
class _Taken:
    at: float
    problem: SpecProblem


class ServiceNames:
    """What is known of the names of adapters, by their keys."""

    def __init__(self, cluster: Client, clock: Clock) -> None:
        self._cluster = cluster
        self._clock = clock
        self._free: set[str] = set()
        self._taken: dict[str, _Taken] = {}

    async def refresh(self, adapter: ModelAdapter, *, has_service: bool) -> None:
        """Asks if it has to; `has_service` if the adapter's own is there.

        Raises:
            ClientError: the API server does not say.
        """
        key, now = adapter.key, self._clock.now().timestamp()
        known = self._taken.get(key)
        if has_service or key in self._free or (known is not None and now < known.at + LOOKED_AGAIN):
            return
        if await self._is_anothers(adapter):
            said = f"there is a Service {key} that is not this adapter's: delete it, or give the adapter another name"
            self._taken[key] = _Taken(now, SpecProblem("ServiceNameTaken", said, recheck=LOOKED_AGAIN))
        else:
            self._free.add(key)
            self._taken.pop(key, None)

    def problem(self, adapter: ModelAdapter) -> SpecProblem | None:
        """What stands in the way, if anything is known to."""
        known = self._taken.get(adapter.key)
        return known.problem if known is not None else None

    def forget(self, key: str) -> None:
        """The adapter is gone; who comes under its name is asked about anew."""
        self._free.discard(key)
        self._taken.pop(key, None)

    async def _is_anothers(self, adapter: ModelAdapter) -> bool:
        meta = adapter.metadata
        try:
            service = await self._cluster.get(SERVICES, meta.namespace, meta.name)
        except NotFound:
            return False
        return service.metadata.labels.get(NAME_LABEL) != meta.name
