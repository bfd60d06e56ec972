"""A store with the ModelAdapter CRD, and builders for the objects that the tests put into it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import count
from typing import Any

import pytest
from ruamel.yaml import YAML

from twin.apiserver import Change, Store

ADAPTERS = "modeladapters.model.aibrix.ai"
Build = Callable[..., dict[str, Any]]


class Clock:
    """Wall time that a test moves by hand."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def crd() -> dict[str, Any]:
    manifest: dict[str, Any] = YAML(typ="safe").load((files("controller") / "deploy/crd.yaml").read_text())
    return manifest


@pytest.fixture
def store(clock: Clock, crd: dict[str, Any]) -> Store:
    numbers = count()
    store = Store(clock, lambda: f"{next(numbers):05d}")
    store.register_crd(crd)
    return store


@pytest.fixture
def changes(store: Store) -> list[Change]:
    """All that is written from now on."""
    seen: list[Change] = []
    store.subscribe(seen.append)
    return seen


@pytest.fixture
def an_adapter() -> Build:
    def build(name: str = "sql", *, meta: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
        wanted = {"podSelector": {"matchLabels": {"app": "qwen"}}, "artifactURL": "hf://acme/sql", **spec}
        return {"metadata": {"name": name, "namespace": "default", **(meta or {})}, "spec": wanted}

    return build


@pytest.fixture
def a_pod() -> Build:
    def build(name: str = "qwen-0", *, meta: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
        wanted = {"containers": [{"name": "engine", "image": "vllm/vllm-openai:v1"}], **spec}
        return {"metadata": {"name": name, "namespace": "default", **(meta or {})}, "spec": wanted}

    return build


@pytest.fixture
def a_config_map() -> Build:
    def build(name: str = "c", *, data: dict[str, str] | None = None, **meta: Any) -> dict[str, Any]:
        return {"metadata": {"name": name, "namespace": "default", **meta}, "data": data or {}}

    return build
