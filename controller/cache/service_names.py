"""Checks that an adapter's name is free for its Service, once, before anything is loaded.

A Service of that name that another client created is never taken over: it would get the adapter as its owner, and be
deleted with it. The operator's own Services carry its label; its cache contains only those.
"""

from dataclasses import dataclass

from controller.api.labels import NAME_LABEL
from controller.api.spec import SpecProblem
from controller.api.types import SERVICES, ModelAdapter
from controller.client.interface import Client, NotFound
from controller.clock import Clock

RECHECK = 60.0
"""Seconds after which a name that was taken is checked again."""


@dataclass(frozen=True, slots=True)
class _Taken:
    checked_at: float
    problem: SpecProblem


class ServiceNames:
    """Results of the checks, by adapter key."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._free: set[str] = set()
        self._taken: dict[str, _Taken] = {}

    async def refresh(self, adapter: ModelAdapter, *, has_service: bool) -> None:
        """Check the name if necessary. `has_service`: the adapter's own Service exists.

        Raises:
            ClientError: the API server does not answer.
        """
        key, now = adapter.key, self._clock.now().timestamp()
        taken = self._taken.get(key)
        if has_service or key in self._free or (taken is not None and now < taken.checked_at + RECHECK):
            return
        if await self._is_foreign(adapter):
            message = f"Service {key} exists and is not this adapter's: delete it, or rename the adapter"
            self._taken[key] = _Taken(now, SpecProblem("ServiceNameTaken", message, recheck=RECHECK))
        else:
            self._free.add(key)
            self._taken.pop(key, None)

    def problem(self, adapter: ModelAdapter) -> SpecProblem | None:
        """Return what is wrong with the name, if anything."""
        taken = self._taken.get(adapter.key)
        return taken.problem if taken is not None else None

    def forget(self, key: str) -> None:
        """Drop the result for a deleted adapter."""
        self._free.discard(key)
        self._taken.pop(key, None)

    async def _is_foreign(self, adapter: ModelAdapter) -> bool:
        meta = adapter.metadata
        try:
            service = await self._client.get(SERVICES, meta.namespace, meta.name)
        except NotFound:
            return False
        return service.metadata.labels.get(NAME_LABEL) != meta.name
