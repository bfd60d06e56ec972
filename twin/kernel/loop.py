"""Virtual time: asyncio on a SimPy environment.

`VirtualLoop.time()` is `env.now`. Where an ordinary loop waits in `select()`, this one steps SimPy until a callback
is ready or the next timer is due. Code that waits with asyncio only runs unchanged, as fast as the CPU allows.
At one instant SimPy's events come first, then asyncio's timers, each in the order in which they were scheduled;
callbacks that are ready run before time advances.

A simulation has no sockets, threads or wall clock. Using one raises a `VirtualTimeError` that says what to use
instead. If no event is left while tasks still wait, a `Deadlock` is raised that names them.
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from contextvars import copy_context
from typing import Any, NoReturn, TypeVar, cast

import simpy

T = TypeVar("T")

_CANCELLED_KEPT = 1000
"""Number of cancelled timers in the heap that triggers a clean-up."""


class VirtualTimeError(RuntimeError):
    """An operation is not available in virtual time, or tasks were left behind."""


class Deadlock(VirtualTimeError):
    """No event is left, and tasks still wait."""


class _Task(asyncio.Task[T]):
    """A task that hashes by its creation number.

    A TaskGroup keeps its tasks in a set and cancels them in the set's order, which for asyncio's own tasks depends on
    memory addresses and so differs from process to process.
    """

    def __init__(self, number: int, *args: Any, **kwargs: Any) -> None:
        self._number = number  # first: asyncio adds a task to a set while it is created
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._number


class _Handle(asyncio.Handle):
    """asyncio's handle without what it keeps for debug mode: a simulation makes millions."""

    __slots__ = ()

    def __init__(self, callback: Any, args: tuple[Any, ...], loop: "VirtualLoop", context: Any) -> None:
        handle: Any = self
        handle._context = copy_context() if context is None else context
        handle._loop = loop
        handle._callback = callback
        handle._args = args
        handle._cancelled = False
        handle._repr = handle._source_traceback = None


class _TimerHandle(asyncio.TimerHandle):
    """The same for a timer."""

    __slots__ = ()

    def __init__(self, when: float, callback: Any, args: tuple[Any, ...], loop: "VirtualLoop", context: Any) -> None:
        handle: Any = self
        handle._context = copy_context() if context is None else context
        handle._loop = loop
        handle._callback = callback
        handle._args = args
        handle._cancelled = False
        handle._repr = handle._source_traceback = None
        handle._when = when
        handle._scheduled = True

    def cancel(self) -> None:
        handle: Any = self
        if not handle._cancelled:
            handle._cancelled = True
            handle._loop._timer_cancelled_count += handle._scheduled
            handle._callback = handle._args = None


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop with one thread, no sockets, and SimPy's time."""

    # Private parts of BaseEventLoop that this loop relies on; the same in Python 3.11 to 3.14.
    _ready: deque[Any]
    _scheduled: list[Any]
    _stopping: bool
    _timer_cancelled_count: int
    _check_closed: Callable[[], None]

    def __init__(self, env: simpy.Environment) -> None:
        super().__init__()
        self.env = env
        self._timer_count = 0
        numbers = itertools.count()
        self.set_task_factory(lambda loop, coro, **more: _Task(next(numbers), coro, loop=loop, **more))
        self._clock_resolution = 0.0
        self.slow_callback_duration = float("inf")  # in debug mode: a virtual callback takes no time

    def time(self) -> float:
        """Simulated seconds since the start of the environment."""
        return float(self.env._now)

    def _run_once(self) -> None:
        """Run one iteration (a hook of run_forever): advance time if nothing is ready, then run what is."""
        ready = self._ready
        if not ready and not self._stopping:
            self._advance()
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            try:  # as Handle._run, without the call
                handle._context.run(handle._callback, *handle._args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                message = f"Exception in callback {handle!r}"
                self.call_exception_handler({"message": message, "exception": error, "handle": handle})

    def _advance(self) -> None:
        """Step SimPy and fire timers until a callback is ready."""
        env, ready, timers = self.env, self._ready, self._scheduled
        queue, never = env._queue, float("inf")
        if self._timer_cancelled_count > _CANCELLED_KEPT:
            self._drop_cancelled()
        while not ready:
            while timers and timers[0][2]._cancelled:
                heapq.heappop(timers)[2]._scheduled = False
                self._timer_cancelled_count -= 1
            event_at = queue[0][0] if queue else never
            if timers:
                due = timers[0][0]
                if event_at <= due:
                    env.step()
                    continue
                if due > env._now:
                    env._now = due
                while timers and timers[0][0] <= due:
                    handle = heapq.heappop(timers)[2]
                    handle._scheduled = False
                    if handle._cancelled:
                        self._timer_cancelled_count -= 1
                    else:
                        ready.append(handle)
            elif event_at == never:
                self._deadlocked()
            else:
                env.step()

    def _drop_cancelled(self) -> None:
        kept = [timer for timer in self._scheduled if not timer[2]._cancelled]
        for _, _, handle in self._scheduled:
            if handle._cancelled:
                handle._scheduled = False
        heapq.heapify(kept)
        self._scheduled[:] = kept
        self._timer_cancelled_count = 0

    def _deadlocked(self) -> NoReturn:
        waiting = sorted(asyncio.all_tasks(self), key=lambda task: task.get_name())
        raise Deadlock(
            f"nothing is left to happen at t={self.time():g} s and {len(waiting)} still wait:\n" + _describe(waiting)
        )

    # -- timers are stored as (when, number, handle): fast to compare, and equal times keep the order of scheduling

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        self._check_closed()
        handle = _TimerHandle(when, callback, args, self, context)
        self._timer_count += 1
        heapq.heappush(self._scheduled, (when, self._timer_count, handle))
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.env._now + delay, callback, *args, context=context)

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        self._check_closed()
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    # -- not available in a simulation

    def _process_events(self, event_list: object) -> None:
        """Do nothing: there are no file descriptors."""

    def _write_to_self(self) -> None:
        """Do nothing: there is no other thread to wake this one up."""

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:  # type: ignore[override]
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> NoReturn:  # type: ignore[override]  # noqa: ARG002
        raise VirtualTimeError(
            f"run_in_executor({getattr(func, '__name__', 'a function')}): there are no threads in virtual time; "
            "call the function directly if it is quick, or await something that waits on the loop"
        )


def _not_available(name: str) -> Callable[..., Any]:
    def refuse(self: VirtualLoop, *args: object, **kwargs: object) -> NoReturn:  # noqa: ARG001
        raise VirtualTimeError(
            f"{name}: there are no sockets in virtual time; give the client a transport of the simulated network "
            "(twin.world.network), or use `twin serve`"
        )

    refuse.__name__ = name
    return refuse


for _name in (
    "create_connection", "create_server", "create_datagram_endpoint", "create_unix_connection", "create_unix_server",
    "start_tls", "sendfile", "connect_accepted_socket", "sock_recv", "sock_recv_into", "sock_recvfrom",
    "sock_recvfrom_into", "sock_sendall", "sock_sendto", "sock_connect", "sock_accept", "sock_sendfile", "add_reader",
    "remove_reader", "add_writer", "remove_writer", "getaddrinfo", "getnameinfo", "subprocess_exec",
    "subprocess_shell", "connect_read_pipe", "connect_write_pipe", "add_signal_handler",
):  # fmt: skip
    setattr(VirtualLoop, _name, _not_available(_name))


def run(main: Coroutine[Any, Any, T], env: simpy.Environment | None = None) -> T:
    """Run `main` to its end in virtual time and return its result.

    Raises:
        Deadlock: no event is left and `main` is not done.
        VirtualTimeError: `main` is done and left tasks behind; they have been cancelled.
    """
    loop = VirtualLoop(simpy.Environment() if env is None else env)
    asyncio.set_event_loop(loop)
    task = loop.create_task(main, name="main")
    try:
        result = loop.run_until_complete(task)
        left = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
        if left:
            raise VirtualTimeError(f"{len(left)} tasks were left behind:\n" + _describe(left))
        return result
    finally:
        _close(loop)


async def wait_for_event(event: simpy.Event) -> Any:
    """Wait for a SimPy event; return its value or raise its exception."""
    if event.processed:
        if event.ok:
            return event.value
        raise cast(BaseException, event.value)
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def settle(done: simpy.Event) -> None:
        if future.done():
            return
        if done.ok:
            future.set_result(done.value)
        else:
            done.defused = True
            future.set_exception(cast(BaseException, done.value))

    event.callbacks.append(settle)
    try:
        return await future
    finally:
        if event.callbacks is not None and settle in event.callbacks:
            event.callbacks.remove(settle)


def _close(loop: VirtualLoop) -> None:
    """Cancel the remaining tasks, wait for them and close the loop."""
    try:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _describe(tasks: Iterable[asyncio.Task[Any]]) -> str:
    return "\n".join(f"  {task.get_name()}: {_where(task)}" for task in tasks)


def _where(task: asyncio.Task[Any]) -> str:
    """Return the innermost line at which a task waits."""
    coroutine: Any = task.get_coro()
    name = getattr(coroutine, "__qualname__", repr(coroutine))
    frame = None
    while coroutine is not None:
        inner = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "ag_frame", None)
        if inner is not None:
            frame = inner
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "ag_await", None)
    if frame is None:
        return name
    return f"{name} waits in {frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"
