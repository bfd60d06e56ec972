"""Runs each contract test in every world that is at hand; where one is not, the test is skipped and says why."""

import asyncio
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from tests.contract import envtest, live, worlds

_LONGEST = 60.0  # seconds: a test that waits for what never comes must end

Opening = Callable[[], AbstractAsyncContextManager[worlds.World]]


@pytest.fixture(scope="session")
def server() -> Iterator[live.Server]:
    """A real API server, if the environment names one."""
    named, assets = os.environ.get("TWIN_LIVE_KUBECONFIG"), os.environ.get("KUBEBUILDER_ASSETS")
    if named:
        found = live.Server(Path(named))
        asyncio.run(live.install_crd(found))
        yield found
        return
    if not assets:
        pytest.skip("no API server: set KUBEBUILDER_ASSETS (etcd, kube-apiserver) or TWIN_LIVE_KUBECONFIG")
    if problem := envtest.missing(Path(assets)):
        pytest.skip(problem)
    with envtest.started(Path(assets)) as found:
        asyncio.run(live.install_crd(found))
        yield found


@pytest.fixture(params=["in process", "served", "real"])
def world(request: pytest.FixtureRequest) -> Opening:
    """Opened when the test runs, in the test's own event loop (see below)."""
    if request.param == "real":
        return partial(live.on, request.getfixturevalue("server"))
    return live.served if request.param == "served" else worlds.in_process


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A test that is a coroutine function runs within its world."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}

    async def story() -> None:
        async with asyncio.timeout(_LONGEST), arguments["world"]() as world:
            await pyfuncitem.obj(**{**arguments, "world": world})

    asyncio.run(story())
    return True
