"""One fake engine as a process: it starts, serves, meets its injected faults, restarts and stops."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib import import_module

import numpy as np

from fake_vllm.cli.options import Options
from fake_vllm.engine.context import EngineContext, Randomness
from fake_vllm.engine.engine import Engine, EngineConfig
from fake_vllm.engine.timing import EngineTimes
from fake_vllm.faults.effects import FaultRules
from fake_vllm.flavors import flavor_of
from fake_vllm.server.asgi import AsgiApp
from fake_vllm.server.fault_injector import FaultInjector
from fake_vllm.server.socket_server import Drain, SocketServer, raise_file_limit

PORT_CLOSES = 1.0  # seconds after the end of the engine core; seen on vLLM 0.32.0


class Server:
    """Runs one engine on one port, and the admin port if there is one."""

    def __init__(self, config: EngineConfig, options: Options, now: Callable[[], float]) -> None:
        """Create the server; `now` returns the time of day, in seconds since 1970.

        Raises:
            EngineConfigError: if the engine would not start.
        """
        self._config = replace(config, lora_budget=options.profile.lora_memory)
        self._options = options
        self._now = now
        self._rng = np.random.default_rng((options.seed, 1))
        self._epoch = 0.0
        self._faults = FaultRules()
        self._injector = FaultInjector(self._faults, self, options.seed)
        timeout = None if config.quirks.drains_at_sigterm else config.server.shutdown_timeout
        drain = Drain(timeout, self._shut_down_engine, waits=not config.quirks.aborts_at_sigterm)
        self._sockets = SocketServer(config.host, config.port, drain=drain)
        self._app = AsgiApp(
            self._new_engine(),
            self._faults,
            draw=np.random.default_rng((options.seed, 2)).random,
            reset_connection=self._sockets.reset_connection,
        )
        self._restarting: asyncio.Task[None] | None = None
        self._death: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Start, and serve until stopped.

        Raises:
            OSError: if a port is not available.
        """
        raise_file_limit()
        loop = asyncio.get_running_loop()
        self._epoch = self._now() - loop.time()
        # FastAPI is imported in the background: the first requests do not need it.
        loop.run_in_executor(None, import_module, "fake_vllm.server.api")
        await asyncio.sleep(self._options.profile.startup.draw(self._rng))
        self._app.engine = self._new_engine()
        self._sockets.bind()
        self._faults.on_change.append(self._update_accepting)
        for spec in self._options.faults:
            self._injector.add(spec)
        try:
            async with self._admin_port():
                await self._sockets.listen(self._app)
        finally:
            self._injector.clear()
            if self._restarting is not None:
                self._restarting.cancel()
            self._app.engine.close()

    @asynccontextmanager
    async def _admin_port(self) -> AsyncIterator[None]:
        """Serve the admin port if there is one."""
        if self._options.admin_port is None:
            yield
            return
        from fake_vllm.server.admin import AdminServer  # imports FastAPI, which most engines need only later

        admin = AdminServer(self._injector, self._options.admin_host, self._options.admin_port)
        await admin.start()
        try:
            yield
        finally:
            await admin.stop()

    def stop(self) -> None:
        """Shut down gracefully, as after SIGTERM."""
        self._sockets.should_exit = True

    def restart(self) -> None:
        """Restart the engine in place, as a container that ends is restarted in the same pod."""
        if self._restarting is None or self._restarting.done():
            self._restarting = asyncio.get_running_loop().create_task(self._restart())

    def crash_core(self) -> None:
        """End the engine core; the process follows."""
        self._app.engine.kill_core()

    def _on_death(self, reason: str) -> None:
        """The engine core has ended: close the port after a while and end the process, with exit code 0."""
        print(f"fake-vllm: EngineCore encountered a fatal error: {reason}", file=sys.stderr)
        self._death = asyncio.get_running_loop().call_later(PORT_CLOSES, self.stop)

    def _shut_down_engine(self) -> None:
        self._app.engine.shut_down()

    def crash(self, code: int, signal: int | None) -> None:
        """End the process at once."""
        if signal is not None:
            os.kill(os.getpid(), signal)
            return
        os._exit(code)

    async def _restart(self) -> None:
        self._sockets.set_accepting(False)
        if self._death is not None:
            self._death.cancel()
        self._app.engine.close()
        self._sockets.reset_all()
        await asyncio.sleep(self._options.profile.startup.draw(self._rng))
        self._app.engine = self._new_engine()
        self._sockets.set_accepting(not self._is_refusing())

    def _update_accepting(self) -> None:
        """Close the port while every connection is refused; a fault that hits only some of them resets those."""
        if self._restarting is None or self._restarting.done():
            self._sockets.set_accepting(not self._is_refusing())

    def _is_refusing(self) -> bool:
        return any(rule.kind == "connection-refused" and rule.is_total for rule in self._faults.rules)

    def _new_engine(self) -> Engine:
        profile = self._options.profile
        return Engine(
            self._config,
            flavor_of(self._config),
            EngineTimes(profile.load, profile.unload, profile.timing),
            Randomness(self._rng, seed=self._options.seed),
            EngineContext(
                find_artifact=self._options.find,
                fetch=self._options.fetch,
                on_death=self._on_death,
                created=int(self._now()),
                epoch=self._epoch,
            ),
        )
