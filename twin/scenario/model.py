"""The scenario file as a whole, and the loaded scenario."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from twin.scenario.edits import Edit
from twin.scenario.faults import Fault
from twin.scenario.sections.adapters import AdapterTemplate
from twin.scenario.sections.base_model import ScenarioModel
from twin.scenario.sections.cluster import Cluster, Controller, Node
from twin.scenario.sections.expectations import Expectation, ExpectationText
from twin.scenario.sections.traffic import Traffic
from twin.scenario.units import PositiveDuration

Seed = Annotated[int, Field(strict=True, ge=0, lt=2**63)]


class ScenarioFile(ScenarioModel):
    """Scenario file: a cluster, the events in it, and what is expected."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    """Name of the scenario and of its run folder."""
    description: str = ""
    """The question that the scenario asks."""
    findings: str = ""
    """Observations of its author."""
    duration: PositiveDuration = 600.0
    """Simulated time."""
    seed: Seed = 0
    """Seed of all random numbers."""
    manifests: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Kubernetes manifests: paths relative to this file, globs allowed."""
    objects: tuple[dict[str, Any], ...] = ()
    """Kubernetes objects, inline."""
    cluster: Cluster = Cluster()
    """Nodes, engines, registry, API server."""
    controller: Controller = Controller()
    """The operator's settings."""
    adapters: tuple[AdapterTemplate, ...] = ()
    """Templates of ModelAdapters, in addition to the manifests."""
    edits: tuple[Edit, ...] = ()
    """Changes by users during the run."""
    traffic: Traffic | None = None
    """User traffic; none if absent."""
    faults: tuple[Fault, ...] = ()
    """Faults to inject."""
    expect: tuple[ExpectationText, ...] = ()
    """Expectations of the summary: `NAME OP NUMBER`."""
    vary: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = {}
    """For `twin compare` and `twin sweep`: paths as for `--set`, each with its values."""
    notes: tuple[str, ...] = ()
    """Notes that go with the results; a resolved scenario keeps the notes of its first load."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Valid and complete scenario without secrets. Its values must not be mutated."""

    name: str
    description: str
    findings: str
    duration: float
    """Seconds."""
    seed: int
    objects: tuple[dict[str, Any], ...]
    """The manifests, in order, as JSON values; with a namespace and without server-side fields."""
    nodes: tuple[Node, ...]
    cluster: Cluster
    controller: Controller
    adapters: tuple[AdapterTemplate, ...]
    edits: tuple[Edit, ...]
    traffic: Traffic | None
    faults: tuple[Fault, ...]
    expect: tuple[Expectation, ...]
    vary: dict[str, tuple[Any, ...]]
    notes: tuple[str, ...] = ()
    """Notes for readers of the results."""
    places: Mapping[str, str] = field(default_factory=dict, compare=False)
    """FILE:LINE of notes."""
    secrets: tuple[str, ...] = ()
    """Pseudonyms of the secrets; none may appear in any output."""
