"""A store with the ModelAdapter CRD, and builders of test objects."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from twin.apiserver import Change, Store
from twin.scenario.manifests.admission import definition

ADAPTERS = "modeladapters.model.aibrix.ai"
Build = Callable[..., dict[str, Any]]


class Clock:
    """Wall-clock time that a test advances."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def crd() -> dict[str, Any]:
    return definition()


@pytest.fixture
def store(clock: Clock, crd: dict[str, Any]) -> Store:
    numbers = count()
    store = Store(clock, lambda: f"{next(numbers):05d}")
    store.register_crd(crd)
    return store


@pytest.fixture
def changes(store: Store) -> list[Change]:
    """Return a list of all later writes."""
    changes: list[Change] = []
    store.subscribe(changes.append)
    return changes


@pytest.fixture
def an_adapter() -> Build:
    def build(name: str = "sql", *, meta: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
        body = {"podSelector": {"matchLabels": {"app": "qwen"}}, "artifactURL": "hf://acme/sql", **spec}
        return {"metadata": {"name": name, "namespace": "default", **(meta or {})}, "spec": body}

    return build


@pytest.fixture
def a_pod() -> Build:
    def build(name: str = "qwen-0", *, meta: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
        body = {"containers": [{"name": "engine", "image": "vllm/vllm-openai:v1"}], **spec}
        return {"metadata": {"name": name, "namespace": "default", **(meta or {})}, "spec": body}

    return build


@pytest.fixture
def a_config_map() -> Build:
    def build(name: str = "c", *, data: dict[str, str] | None = None, **meta: Any) -> dict[str, Any]:
        return {"metadata": {"name": name, "namespace": "default", **meta}, "data": data or {}}

    return build
