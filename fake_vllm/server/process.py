"""One fake engine as a process: it starts up, serves, breaks as it is told to, restarts and ends."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fake_vllm.cli.options import Options
from fake_vllm.engine.engine import Artifact, Engine, EngineConfig
from fake_vllm.faults.rules import FaultRules
from fake_vllm.server.admin import AdminServer
from fake_vllm.server.asgi import AsgiApp
from fake_vllm.server.fault_injector import FaultInjector
from fake_vllm.server.socket_server import SocketServer, raise_limit

Find = Callable[[str], Artifact | None]


class Server:
    """Runs one engine behind one port, and an admin port beside it if that was asked for."""

    def __init__(self, config: EngineConfig, options: Options, now: Callable[[], float]) -> None:
        """`now` tells the time of day, in seconds since 1970.

        Raises:
            EngineConfigError: if the engine would not start.
        """
        self._config = replace(config, lora_budget=options.profile.lora_memory)
        self._options = options
        self._now = now
        self._rng = np.random.default_rng((options.seed, 1))
        self._epoch = 0.0
        self._faults = FaultRules()
        self._timetable = FaultInjector(self._faults, self, options.seed)
        self._app = AsgiApp(self._new_engine(), self._faults, draw=np.random.default_rng((options.seed, 2)).random)
        self._port = SocketServer(self._app, config.host, config.port)
        self._app.reset_connection = self._port.reset_connection
        self._restarting: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Start up and serve until told to end.

        Raises:
            OSError: if a port cannot be had.
        """
        raise_limit()
        self._epoch = self._now() - asyncio.get_running_loop().time()
        await asyncio.sleep(self._options.profile.startup.draw(self._rng))
        self._app.engine = self._new_engine()
        self._port.bind()
        self._faults.on_change.append(self._heed_faults)
        for planned in self._options.faults:
            self._timetable.add(planned)
        admin = AdminServer(self._timetable, self._options.admin_host, self._options.admin_port)
        try:
            if self._options.admin_port is not None:
                await admin.begin()
            await self._port.listen()
        finally:
            self._timetable.clear()
            await admin.end()
            if self._restarting is not None:
                self._restarting.cancel()
            self._app.engine.close()

    def stop(self) -> None:
        """End in good order, as after SIGTERM."""
        self._port.should_exit = True

    def restart(self) -> None:
        """Restart the engine in place: as a container that ends and is started again in the same pod."""
        if self._restarting is None or self._restarting.done():
            self._restarting = asyncio.get_running_loop().create_task(self._restart())

    def crash(self, code: int, signal: int | None) -> None:
        """End at once, without a word to anybody."""
        if signal is not None:
            os.kill(os.getpid(), signal)
            return
        os._exit(code)

    async def _restart(self) -> None:
        self._port.set_accepting(False)
        self._app.engine.close()
        self._port.reset_all()
        await asyncio.sleep(self._options.profile.startup.draw(self._rng))
        self._app.engine = self._new_engine()
        self._port.set_accepting(not self._refusing())

    def _heed_faults(self) -> None:
        """A port that refuses everybody is closed; one that refuses only some, or by chance, resets them."""
        if self._restarting is None or self._restarting.done():
            self._port.set_accepting(not self._refusing())

    def _refusing(self) -> bool:
        return any(rule.kind == "connection-refused" and rule.certain for rule in self._faults.rules)

    def _new_engine(self) -> Engine:
        profile = self._options.profile
        return Engine(
            self._config,
            load=profile.load,
            unload=profile.unload,
            rng=self._rng,
            artifacts=self._options.find,
            fetch=self._options.fetch,
            created=int(self._now()),
            timing=profile.timing,
            seed=self._options.seed,
            epoch=self._epoch,
        )
