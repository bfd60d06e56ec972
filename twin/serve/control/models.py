"""Request and response bodies of the control API."""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from twin.scenario.units import PositiveDuration

_BODY = ("body", "query")


class ClockRequest(BaseModel):
    """A change of the clock; absent fields are left unchanged."""

    model_config = ConfigDict(extra="forbid")

    speed: Annotated[float | None, Field(gt=0, allow_inf_nan=False, description="Simulated seconds per second.")] = None
    paused: Annotated[bool | None, Field(description="Whether time stands still.")] = None
    step: Annotated[
        PositiveDuration | None,
        Field(description="Advance by this duration as fast as possible, then pause.", examples=["30s"]),
    ] = None


class FaultRequest(BaseModel):
    """A fault of the catalogue (`twin faults`) with its fields; times count from now."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"examples": [{"kind": "timeout", "pods": {"count": 1}, "for": "2m"}]}
    )

    kind: str
    for_: Annotated[Any, Field(alias="for", description="Duration of the fault; until the end if absent.")] = None


class FaultResponse(BaseModel):
    """An injected fault."""

    number: Annotated[int, Field(description="Id of the fault in events.jsonl.")]
    kind: str
    until: Annotated[float | None, Field(description="End, in seconds since the start of the world.")]


class FaultKind(BaseModel):
    """A kind of fault that can be injected."""

    kind: str
    on: str
    summary: str
    lasting: bool


class ActiveFaultStatus(BaseModel):
    """A fault that is active now."""

    number: int
    kind: str
    targets: list[str]
    since: float


class AdapterStatus(BaseModel):
    """A ModelAdapter."""

    name: str
    phase: str
    ready: int
    desired: int | None
    instances: list[str]
    message: str


class PodStatus(BaseModel):
    """A pod and the adapters that are loaded on it."""

    name: str
    ready: bool
    node: str
    ip: str
    address: str
    adapters: list[str]


class WorldStatus(BaseModel):
    """The present state of a served world. Times in seconds."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    name: str
    seconds: float
    wall_time: str
    scenario_seconds: float
    speed: float
    paused: bool
    adapters: dict[str, int]
    pods: dict[str, int]
    loads: dict[str, int]
    api_writes: dict[str, int]
    leading: list[str]
    faults: list[ActiveFaultStatus]
    adapter_list: list[AdapterStatus]
    pod_list: list[PodStatus]


def error_line(errors: Sequence[Mapping[str, Any]], skip: Collection[str] = _BODY) -> str:
    """Return one line for the first of pydantic's errors: `FIELD: what is wrong; allowed: …`.

    Parts of the field's path that are in `skip` are left out.
    """
    first = errors[0]
    context = first.get("ctx") or {}
    path = ".".join(str(part) for part in first["loc"] if part not in skip)
    message = str(context.get("message") or first["msg"])
    allowed = f"; {context['allowed']}" if context.get("allowed") else ""
    return f"{path}: {message}{allowed}" if path else f"{message}{allowed}"
