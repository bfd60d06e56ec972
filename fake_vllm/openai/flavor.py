"""What the wire needs to know of a dialect: its routes, its guard, and how it puts what went right or wrong.

`wire.py` does the same for each request; `routes.py` and `sglang/routes.py` say what differs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fake_vllm.engine.engine import Engine, EngineError
from fake_vllm.http.messages import Request, Response
from fake_vllm.http.validation import Invalid
from fake_vllm.openai.completions import ResponseFormat
from fake_vllm.openai.requests import GenerateRequest


@dataclass(frozen=True, slots=True)
class Load:
    """An adapter is to be loaded."""

    name: str
    path: str
    in_place: bool = False


@dataclass(frozen=True, slots=True)
class Unload:
    """An adapter is to be unloaded."""

    name: str


@dataclass(frozen=True, slots=True)
class Generate:
    """Answers are wanted, in a form, under a number that the client gave (empty if it gave none)."""

    ask: GenerateRequest
    form: ResponseFormat
    request_id: str = ""


Step = Response | Load | Unload | Generate
"""What a route makes of a request: an answer at once, or what there is to wait for."""


@dataclass(frozen=True, slots=True)
class Route:
    """One path. `step` raises `Invalid` or `EngineFault` where it refuses."""

    methods: tuple[str, ...]
    step: Callable[[Engine, Request], Step]


class ServerFlavor(Protocol):
    """One kind of server. It keeps nothing: what can change is the engine's."""

    def route(self, engine: Engine, path: str) -> Route | None:
        """The route of a path; None if the server has no such route."""
        ...

    def guarded(self, engine: Engine, path: str) -> bool:
        """Whether the key is asked for."""
        ...

    def invalid(self, engine: Engine, invalid: Invalid) -> Response:
        """The body is not what the route takes."""
        ...

    def failed(self, fault: EngineError) -> Response:
        """The engine refuses."""
        ...

    def changed(self, engine: Engine, change: Load | Unload) -> Response:
        """An adapter has come or gone."""
        ...

    def not_changed(self, engine: Engine, change: Load | Unload, fault: EngineError) -> Response:
        """It has not."""
        ...
