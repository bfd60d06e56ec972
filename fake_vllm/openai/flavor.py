"""The HTTP half of a server flavor: its routes, which of them need the API key, and the form of its responses.

`router.py` calls it for every request. The flavors are `vllm/routes.py` and `sglang/routes.py`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel

from fake_vllm.engine.engine import Engine, EngineError
from fake_vllm.http.messages import Request, Response, Stream
from fake_vllm.http.validation import RequestValidationError
from fake_vllm.openai.completions import GenerationPlan


@dataclass(frozen=True, slots=True)
class Load:
    """Load an adapter."""

    name: str
    path: str
    in_place: bool = False
    done: str = ""
    """Text of the response; empty: the flavor's own."""


@dataclass(frozen=True, slots=True)
class Unload:
    """Unload an adapter."""

    name: str
    done: str = ""


@dataclass(frozen=True, slots=True)
class Perform:
    """Do something else that takes time; `action` returns the response and may raise `EngineError`."""

    action: Callable[[], Awaitable[Response | Stream]]


Step = Response | Stream | Load | Unload | GenerationPlan | Perform
"""Result of a route: a response, or work that the engine has to do first."""


@dataclass(frozen=True, slots=True)
class Route:
    """One path.

    Attributes:
        methods: HTTP methods.
        step: makes a request a step; raises `RequestValidationError` or `EngineError`.
        body: model of the request body, for the OpenAPI document.
        documented: the OpenAPI document has it.
        any_method: other methods are answered too.
    """

    methods: tuple[str, ...]
    step: Callable[[Engine, Request], Step]
    body: type[BaseModel] | None = None
    documented: bool = True
    any_method: bool = False


class ServerFlavor(Protocol):
    """One kind of server. It has no state of its own."""

    def routes(self, engine: Engine) -> Mapping[str, Route]:
        """Return the routes by path."""
        ...

    def route(self, engine: Engine, path: str) -> Route | None:
        """Return the route of a path, None if the path is unknown."""
        ...

    def requires_key(self, engine: Engine, path: str) -> bool:
        """Return whether a request for the path needs the API key, if the server has one."""
        ...

    def invalid(self, engine: Engine, error: RequestValidationError) -> Response:
        """Return the response to a body that does not fit."""
        ...

    def failed(self, engine: Engine, error: EngineError) -> Response:
        """Return the response to an error of the engine."""
        ...

    def changed(self, engine: Engine, step: Load | Unload) -> Response:
        """Return the response to an adapter that was loaded or unloaded."""
        ...

    def change_failed(self, engine: Engine, step: Load | Unload, error: EngineError) -> Response:
        """Return the response to an adapter that could not be loaded or unloaded."""
        ...
