"""Runs each contract test in every available world; tests of other worlds are skipped with the reason."""

import asyncio
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from tests.contract import envtest, live, worlds

_TIMEOUT = 60.0  # seconds for one test

Opening = Callable[[], AbstractAsyncContextManager[worlds.World]]


@pytest.fixture(scope="session")
def server() -> Iterator[live.Server]:
    """A real API server, if the environment names one."""
    kubeconfig, assets = os.environ.get("TWIN_LIVE_KUBECONFIG"), os.environ.get("KUBEBUILDER_ASSETS")
    if kubeconfig:
        running = live.Server(Path(kubeconfig))
        asyncio.run(live.install_crd(running))
        yield running
        return
    if not assets:
        pytest.skip("no API server: set KUBEBUILDER_ASSETS (etcd, kube-apiserver) or TWIN_LIVE_KUBECONFIG")
    if problem := envtest.missing(Path(assets)):
        pytest.skip(problem)
    with envtest.run_server(Path(assets)) as running:
        asyncio.run(live.install_crd(running))
        yield running


@pytest.fixture(params=["in process", "served", "real"])
def world(request: pytest.FixtureRequest) -> Opening:
    """Return a context manager that opens the world in the test's own event loop."""
    if request.param == "real":
        return partial(live.on, request.getfixturevalue("server"))
    return live.served if request.param == "served" else worlds.in_process


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test within its world."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}

    async def run() -> None:
        async with asyncio.timeout(_TIMEOUT), arguments["world"]() as world:
            await pyfuncitem.obj(**{**arguments, "world": world})

    asyncio.run(run())
    return True
