"""Faults of the API server affect an external operator over HTTP, but not users of kubectl."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pytest
import simpy

from fake_vllm.distributions import Constant
from tests.twin.serve.api import ADAPTERS, Api, adapter, on_sockets, served_store
from twin.apiserver import Store
from twin.apiserver.rest.middleware import Interference
from twin.serve.operator.external import ExternalOperator
from twin.trace.lines import ApiLine
from twin.trace.recorder import Recorder
from twin.world.api_faults import ApiFaults, ApiRule

OPERATOR = {"user-agent": "lora-controller/1"}
KUBECTL = {"user-agent": "kubectl/v1.34"}
MERGE = {"content-type": "application/merge-patch+json"}
WRITES = frozenset({"create", "patch", "apply", "delete"})


@asynccontextmanager
async def disturbed() -> AsyncIterator[tuple[Api, ApiFaults, simpy.Environment]]:
    """Return a served store, its faults, and their clock."""
    env, found = simpy.Environment(), list[ApiFaults]()

    def interfering(store: Store) -> Interference:
        found.append(ApiFaults(env, store))
        recorder = Recorder(lambda: float(env.now), ())
        return ExternalOperator(store, recorder, found[0], Constant(0.0), np.random.default_rng(0)).interfere

    async with served_store(interfering=interfering) as api:
        api.store.create("modeladapters.model.aibrix.ai", adapter("sql"), namespace="default")
        yield api, found[0], env


def rule(code: int, verbs: frozenset[str] = frozenset(), **others: Any) -> ApiRule:
    return ApiRule(code, 1.0, np.random.default_rng(0), verbs, **others)


@pytest.mark.parametrize(
    ("made", "code", "reason"),
    [
        (rule(500), 500, "InternalError"),
        (rule(409, WRITES), 409, "Conflict"),
        (rule(429, retry_after=7.0), 429, "TooManyRequests"),
    ],
)
def test_an_error_is_answered_and_nothing_done(made: ApiRule, code: int, reason: str) -> None:
    @on_sockets
    async def story() -> None:
        async with disturbed() as (api, faults, _):
            end = faults.add(0, made)
            patch = {"spec": {"replicas": 2}}
            met = await api.client.patch(f"{ADAPTERS}/sql", json=patch, headers={**MERGE, **OPERATOR})
            assert (met.status_code, met.json()["reason"]) == (code, reason)
            assert met.headers.get("retry-after") == ("7" if code == 429 else None)
            shown = (await api.client.get(f"{ADAPTERS}/sql", headers=KUBECTL)).json()
            assert "replicas" not in shown["spec"]
            end()
            assert (await api.client.get(f"{ADAPTERS}/sql", headers=OPERATOR)).status_code == 200

    story()


@on_sockets
async def test_the_answer_to_a_write_may_be_lost_after_it_was_done() -> None:
    async with disturbed() as (api, faults, _):
        faults.add(0, rule(504, WRITES, after=True))
        patch = {"spec": {"replicas": 2}}
        met = await api.client.patch(f"{ADAPTERS}/sql", json=patch, headers={**MERGE, **OPERATOR})
        shown = (await api.client.get(f"{ADAPTERS}/sql", headers=OPERATOR)).json()
        assert (met.status_code, shown["spec"]["replicas"]) == (504, 2)


@on_sockets
async def test_a_dropped_watch_breaks_off_and_no_other_can_be_opened() -> None:
    async with disturbed() as (api, faults, _):
        path = f"{ADAPTERS}?watch=1"
        async with api.client.stream("GET", path, headers=OPERATOR) as watch:
            lines = watch.aiter_lines()
            assert json.loads(await anext(lines))["type"] == "ADDED"
            end = faults.break_watches(0)
            with pytest.raises(httpx.TransportError):
                await anext(lines)
        assert (await api.client.get(path, headers=OPERATOR)).status_code == 503
        end()
        async with api.client.stream("GET", path, headers=OPERATOR) as watch:
            assert watch.status_code == 200


@on_sockets
async def test_a_watch_expires_with_410_and_kubectl_is_not_affected() -> None:
    async with disturbed() as (api, faults, _), asyncio.TaskGroup() as tasks:
        path = f"{ADAPTERS}?watch=1&timeoutSeconds=1"
        mine = tasks.create_task(api.client.get(path, headers=OPERATOR))
        theirs = tasks.create_task(api.client.get(path, headers=KUBECTL))
        while len(api.app.watches) < 2:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
        faults.expire_watches()
        last = json.loads((await mine).text.splitlines()[-1])
        assert (last["type"], last["object"]["code"]) == ("ERROR", 410)
        assert "ERROR" not in (await theirs).text


@on_sockets
async def test_lists_lag_behind() -> None:
    async with disturbed() as (api, faults, env):
        faults.keep_history()
        faults.lag(0, 5.0, until=60.0)
        env.run(until=10)
        api.store.create("modeladapters.model.aibrix.ai", adapter("rust"), namespace="default")
        assert await _names(api, OPERATOR) == ["sql"]
        assert await _names(api, KUBECTL) == ["rust", "sql"]
        env.run(until=16)
        assert await _names(api, OPERATOR) == ["rust", "sql"]


async def _names(api: Api, headers: dict[str, str]) -> list[str]:
    return [each["metadata"]["name"] for each in (await api.client.get(ADAPTERS, headers=headers)).json()["items"]]


@on_sockets
async def test_a_slow_server_takes_as_much_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with disturbed() as (api, faults, env):
        await api.client.get(ADAPTERS, headers=OPERATOR)
        recorder, latency = Recorder(lambda: float(env.now), ()), Constant(0.01)
        outside = ExternalOperator(api.store, recorder, faults, latency, np.random.default_rng(0))
        waits = list[float]()
        monkeypatch.setattr("twin.serve.operator.external.asyncio.sleep", _noting(waits))
        await outside.interfere(api.used[-1])
        faults.slow_down(0, 20.0)
        await outside.interfere(api.used[-1])
        assert waits == pytest.approx([0.01, 0.2])


def _noting(waits: list[float]) -> Callable[[float], Any]:
    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    return sleep


@on_sockets
async def test_the_trace_has_the_requested_and_the_created_objects() -> None:
    recorder = Recorder(lambda: 0.0, ())
    async with served_store() as api:
        for code in (201, 409):
            assert (await api.client.post(ADAPTERS, json=adapter("sql"), headers=OPERATOR)).status_code == code
        assert (await api.client.post(ADAPTERS, content=b"[", headers=OPERATOR)).status_code == 400
        assert (await api.client.delete(f"{ADAPTERS}/sql", headers=OPERATOR)).status_code == 200
        faults = ApiFaults(simpy.Environment(), api.store)
        outside = ExternalOperator(api.store, recorder, faults, Constant(0.0), np.random.default_rng(0))
        for used in api.used:
            outside.observe(used)
    seen = [(line.verb, line.object, line.code) for line in recorder.lines if isinstance(line, ApiLine)]
    assert seen == [
        ("create", "default/sql", 201),
        ("create", "default/sql", 409),
        ("create", "default/", 400),
        ("delete", "default/sql", 200),
    ]
