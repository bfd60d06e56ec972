"""An object of another owner that appears between the operator's check and its write is left as it is."""

from pathlib import Path
from typing import Any

import pytest

from controller.api.types import ENDPOINT_SLICES, SERVICES
from tests.harness.story import SLICES, one, run_story
from twin.apiserver import Store
from twin.world.store_client import StoreClient

OTHERS = {"team": "shop"}


def create_others(store: Store, resource: str, meta: Any) -> None:
    """Create an object of that name as another owner."""
    body: dict[str, Any] = {"metadata": {"name": meta.name, "namespace": meta.namespace, "labels": OTHERS}}
    if resource == "services":
        body["spec"] = {"selector": OTHERS, "ports": [{"port": 80}]}
    else:
        body |= {"addressType": "IPv4", "endpoints": [], "ports": []}
    store.create(resource, body, namespace=meta.namespace, manager="kubectl")


def others(story: Any, resource: str) -> list[dict[str, Any]]:
    items = story.simulation.store.list(resource, namespace="default").items
    return [item for item in items if item["metadata"].get("labels", {}).get("team") == "shop"]


@pytest.mark.parametrize(("kind", "resource"), [(SERVICES, "services"), (ENDPOINT_SLICES, SLICES)])
def test_a_create_meets_an_object_that_has_just_appeared(
    kind: Any, resource: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, met = StoreClient.create, []

    async def create(self: StoreClient, wanted: Any, obj: Any) -> Any:
        if wanted is kind and not met:
            met.append(obj.metadata.name)
            create_others(self._context.store, resource, obj.metadata)
        return await real(self, wanted, obj)

    monkeypatch.setattr(StoreClient, "create", create)
    story = run_story(tmp_path, adapters=one(), duration="60s")
    (left,) = others(story, resource)
    assert left["metadata"]["name"] == met[0]
    assert left["metadata"]["labels"] == OTHERS
    assert "ownerReferences" not in left["metadata"]


def test_a_delete_meets_an_object_that_has_just_taken_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, met = StoreClient.delete, []

    async def delete(self: StoreClient, kind: Any, namespace: str, name: str, **options: Any) -> None:
        if kind is ENDPOINT_SLICES and not met:
            store = self._context.store
            meta = kind.decode(store.get(SLICES, namespace, name)).metadata
            store.delete(SLICES, namespace, name)
            create_others(store, SLICES, meta)
            met.append(name)
        await real(self, kind, namespace, name, **options)

    monkeypatch.setattr(StoreClient, "delete", delete)

    def obsolete(simulation: Any) -> None:
        """Create a slice that the operator owns and does not need."""
        store = simulation.store
        (current,) = store.list(SLICES, namespace="default").items
        meta = {key: current["metadata"][key] for key in ("labels", "ownerReferences", "namespace")}
        body = {**current, "metadata": {**meta, "name": "a-0-obsolete"}}
        store.create(SLICES, body, namespace="default", manager="lora-controller")

    story = run_story(tmp_path, (40, obsolete), adapters=one(), duration="90s")
    assert met == ["a-0-obsolete"]
    (left,) = others(story, SLICES)
    assert left["metadata"]["labels"] == OTHERS
