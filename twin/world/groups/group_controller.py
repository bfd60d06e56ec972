"""Base of the controllers of groups: operators that own pods or objects with pods."""

from typing import Any, ClassVar

from twin.apiserver import ApiError
from twin.apiserver.meta.objects import Object, split
from twin.world.workloads.pod_controller import PodController


class GroupController(PodController):
    """Keeps what each object of a custom resource owns; it adopts nothing.

    What the API server finds invalid is left out; a real operator logs it and tries again.
    """

    manager: ClassVar[str] = "manager"

    def _process(self, name: str) -> None:
        try:
            super()._process(name)
        except ApiError as error:
            if error.reason != "Invalid":
                raise

    def _adopts(self, obj: Object, pod: Object) -> bool:  # noqa: ARG002
        return False

    def _claim(self, obj: Object) -> None:
        """Adopt and release nothing."""

    def _find(self, resource: str, namespace: str, name: str) -> Object | None:
        """Return an object; None if it does not exist."""
        try:
            return self._store.get(resource, namespace, name)
        except ApiError as error:
            if error.code != 404:
                raise
            return None

    def _create_missing(self, resource: str, body: dict[str, Any]) -> Object | None:
        """Create an object; return None if one of that name exists or the API server refuses it."""
        try:
            return self._store.create(resource, body, namespace=body["metadata"]["namespace"], manager=self.manager)
        except ApiError as error:
            if error.reason not in ("AlreadyExists", "Forbidden", "Invalid"):
                raise
            return None

    def _create_allowed(self, obj: Object, pod: dict[str, Any]) -> None:
        """Create a pod unless the API server finds it invalid; one that a quota refuses is tried again."""
        try:
            self._create_pod(obj, pod)
        except ApiError as error:
            if error.reason != "Invalid":
                raise

    def _ensure_headless_service(self, obj: Object, name: str, selector: dict[str, str], owner: Object) -> None:
        """Create the headless Service that gives the pods their DNS names, unless it exists."""
        namespace = obj["metadata"]["namespace"]
        if self._find("services", namespace, name) is None:
            spec = {"clusterIP": "None", "selector": selector, "publishNotReadyAddresses": True}
            meta = {"name": name, "namespace": namespace, "ownerReferences": [owner]}
            self._create_missing("services", {"metadata": meta, "spec": spec})

    def _write_group_status(self, name: str, obj: Object, status: dict[str, Any]) -> None:
        """Write a status unless it is the present one."""
        if (obj.get("status") or {}) != status:
            self._write_status(name, obj, status)

    def _delete_object(self, resource: str, obj: Object) -> None:
        namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
        self._store.delete(resource, namespace, name, uid=obj["metadata"]["uid"])


def without_namespace(key: str) -> str:
    """Return the name in a key."""
    return split(key)[1]
