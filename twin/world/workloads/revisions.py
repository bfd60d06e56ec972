"""ControllerRevisions: the history of the templates of StatefulSets and DaemonSets.

Source: `pkg/controller/history/controller_history.go`. A revision is named after the hash of its template, as a
ReplicaSet is (`twin/world/names.py`).
"""

from twin.apiserver import Store
from twin.apiserver.meta.objects import Object, key, owner_reference, split
from twin.apiserver.meta.selectors import label_selector
from twin.world.names import template_hash
from twin.world.workloads.replicasets import Index

REVISIONS = "controllerrevisions.apps"
HASH = "controller-revision-hash"
_MANAGER = "kube-controller-manager"


class Revisions:
    """The revisions of all objects of one kind."""

    def __init__(self, store: Store, api_version: str, kind: str) -> None:
        self._store = store
        self._api_version = api_version
        self._kind = kind
        self._revisions = Index()
        store.subscribe(self._revisions.put, REVISIONS)

    def of(self, owner: Object) -> list[Object]:
        """Return the revisions of an object, oldest first."""
        return sorted(self._revisions.of(owner), key=lambda item: (item["revision"], key(item)))

    def update_revision(self, owner: Object) -> Object:
        """Return the revision of an object's present template: the latest, which is created or renumbered."""
        self._adopt(owner)
        existing = self.of(owner)
        hash_ = template_hash(owner["spec"]["template"])
        equal = next((item for item in existing if item["metadata"]["labels"][HASH] == hash_), None)
        number = 1 + max((item["revision"] for item in existing), default=0)
        if equal is None:
            return self._create(owner, hash_, number)
        if equal is existing[-1]:
            return equal
        namespace, name = split(key(equal))
        return self._store.patch(REVISIONS, namespace, name, {"revision": number}, manager=_MANAGER)

    def trim(self, owner: Object, used: set[str]) -> None:
        """Delete the oldest revisions that no pod uses, beyond `revisionHistoryLimit`."""
        unused = [item for item in self.of(owner) if item["metadata"]["name"] not in used]
        limit = owner["spec"].get("revisionHistoryLimit", 10)
        for item in unused[: max(0, len(unused) - limit)]:
            namespace, name = split(key(item))
            self._store.delete(REVISIONS, namespace, name)

    def _create(self, owner: Object, hash_: str, number: int) -> Object:
        meta, template = owner["metadata"], owner["spec"]["template"]
        body = {
            "metadata": {
                "name": f"{meta['name']}-{hash_}",
                "labels": {**((template.get("metadata") or {}).get("labels") or {}), HASH: hash_},
                "ownerReferences": [owner_reference(owner, self._api_version, self._kind)],
            },
            "data": {"spec": {"template": {**template, "$patch": "replace"}}},
            "revision": number,
        }
        return self._store.create(REVISIONS, body, namespace=meta["namespace"], manager=_MANAGER)

    def _adopt(self, owner: Object) -> None:
        """Take over the revisions that a deleted object of the same pods has left."""
        matches = label_selector(owner["spec"]["selector"])
        for item in self._revisions.without_controller():
            namespace, name = split(key(item))
            if namespace == owner["metadata"]["namespace"] and matches(item["metadata"].get("labels") or {}):
                owners = [owner_reference(owner, self._api_version, self._kind)]
                body = {"metadata": {"ownerReferences": owners}}
                self._store.patch(REVISIONS, namespace, name, body, manager=_MANAGER)


def template_of(revision: Object) -> Object:
    """Return the pod template that a revision keeps."""
    template = revision["data"]["spec"]["template"]
    return {name: value for name, value in template.items() if name != "$patch"}
