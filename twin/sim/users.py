"""Requests of users: manifests applied at the start, adapters that arrive and leave, edits.

What the API server refuses is recorded, and the run goes on, as a cluster does after `kubectl` has printed an error.
"""

from collections.abc import Callable, Generator
from itertools import chain
from typing import Any

import simpy

from twin.apiserver import ApiError, Store
from twin.scenario import Scenario
from twin.scenario.edits import Edit
from twin.scenario.manifests.admission import ACCEPTED
from twin.trace.lines import RefusedLine
from twin.trace.recorder import Recorder

_ASK_AGAIN = 1.0
"""Seconds after which a user tries again to create an object whose predecessor is still being deleted."""
_FIRST = dict.fromkeys(("Secret", "ConfigMap", "PriorityClass", "ResourceQuota", "LimitRange"), 0)
"""Kinds that others need when they are created."""
_USER = "kubectl"
"""Field manager of users' requests."""


class Users:
    """Sends the scenario's requests of users at their times."""

    def __init__(self, env: simpy.Environment, store: Store, recorder: Recorder, scenario: Scenario) -> None:
        self._env = env
        self._store = store
        self._recorder = recorder
        self._scenario = scenario

    def apply_manifests(self) -> None:
        """Create the namespaces, and then the objects that exist from the start."""
        objects, store = self._scenario.objects, self._store
        namespaces = {item["metadata"].get("namespace", "") for item in objects}
        namespaces |= {template.namespace for template in self._scenario.adapters}
        by_name = {item["metadata"]["name"]: item for item in objects if item["kind"] == "Namespace"}
        for name in sorted((namespaces | by_name.keys()) - {""}):
            store.ensure_namespace(name)
            store.patch("namespaces", "", name, by_name.get(name, {}), manager=_USER)
        rest = [item for item in objects if item["kind"] != "Namespace"]
        for item in sorted(rest, key=lambda item: _FIRST.get(item["kind"], 1)):
            self._create(ACCEPTED[item["kind"]][1], item)

    def arrive(
        self, manifest: dict[str, Any], arrives: float, leaves: float | None
    ) -> Generator[simpy.Event, Any, None]:
        """Create an adapter, and delete it again if it has an end within the run."""
        yield self._env.timeout(arrives)
        resource, meta = ACCEPTED["ModelAdapter"][1], manifest["metadata"]
        self._create(resource, manifest)
        if leaves is not None and leaves <= self._scenario.duration:
            yield self._env.timeout(leaves - self._env.now)
            self._delete(resource, meta["namespace"], meta["name"])

    def edit(self, edit: Edit) -> Generator[simpy.Event, Any, None]:
        """Change, delete or create an object; nothing is changed that does not exist any more."""
        yield self._env.timeout(edit.at)
        if edit.create:
            yield from self._create_again(edit)
        elif edit.patch is None:
            self._delete(edit.resource, edit.namespace, edit.name)
        else:
            self._patch(edit, edit.patch)

    def _create_again(self, edit: Edit) -> Generator[simpy.Event, Any, None]:
        """Create an object as the scenario has it, once its predecessor is gone."""
        adapters = (template.manifest(i) for template in self._scenario.adapters for i in range(template.count))
        place = (edit.kind, edit.namespace, edit.name)
        manifest = next(item for item in chain(self._scenario.objects, adapters) if _place(item) == place)
        while not self._create(edit.resource, manifest, patient=True):
            yield self._env.timeout(_ASK_AGAIN)

    def _create(self, resource: str, manifest: dict[str, Any], *, patient: bool = False) -> bool:
        """Create an object; return False if a `patient` user has to wait for the end of its predecessor."""
        meta = manifest["metadata"]
        place = (resource, meta.get("namespace", ""), meta.get("name", ""))
        waits = (409,) if patient else ()
        return self._send("create", place, lambda: self._store.create(resource, manifest, manager=_USER), waits)

    def _patch(self, edit: Edit, patch: dict[str, Any]) -> None:
        place = (edit.resource, edit.namespace, edit.name)
        self._send("patch", place, lambda: self._store.patch(*place, patch, manager=_USER), (404,))

    def _delete(self, resource: str, namespace: str, name: str) -> None:
        place = (resource, namespace, name)
        self._send("delete", place, lambda: self._store.delete(*place), (404,))

    def _send(
        self, verb: Any, place: tuple[str, str, str], request: Callable[[], object], ignored: tuple[int, ...]
    ) -> bool:
        """Send a request and record its refusal; return False if the refusal has an `ignored` status."""
        try:
            request()
        except ApiError as error:
            if error.code in ignored:
                return False
            resource, *path = place
            self._recorder.emit(
                RefusedLine(
                    t=self._recorder.now(),
                    object="/".join(filter(None, path)),
                    verb=verb,
                    resource=resource,
                    code=error.code,
                    reason=error.reason,
                    message=error.message,
                )
            )
        return True


def _place(manifest: dict[str, Any]) -> tuple[str, str, str]:
    meta = manifest["metadata"]
    return manifest["kind"], meta.get("namespace", "default"), meta["name"]
