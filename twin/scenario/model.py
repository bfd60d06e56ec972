"""The scenario file as a whole, and what comes of loading it."""

from dataclasses import dataclass
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
    """A question to the twin: what stands there, what happens to it, what is expected."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    """Names the run's folder too."""
    description: str = ""
    """The question, in words."""
    findings: str = ""
    """What was found, in words."""
    duration: PositiveDuration = 600.0
    """Simulated time."""
    seed: Seed = 0
    """What all draws start from."""
    manifests: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Kubernetes manifests: files relative to this one, globs allowed."""
    objects: tuple[dict[str, Any], ...] = ()
    """Kubernetes objects, written here instead of in files."""
    cluster: Cluster = Cluster()
    """Machines, engines, registry, API server."""
    controller: Controller = Controller()
    """The operator's settings."""
    adapters: tuple[AdapterTemplate, ...] = ()
    """ModelAdapters made here, beside those in the manifests."""
    edits: tuple[Edit, ...] = ()
    """What users change while it runs."""
    traffic: Traffic | None = None
    """What users ask of adapters; nothing if absent."""
    faults: tuple[Fault, ...] = ()
    """What goes wrong, and when."""
    expect: tuple[ExpectationText, ...] = ()
    """What must hold of the summary: `NAME OP NUMBER`."""
    vary: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = {}
    """For compare and sweep: a path as for `--set`, and the values that it takes in turn."""
    notes: tuple[str, ...] = ()
    """Remarks that go with the results; a resolved scenario keeps what was remarked when it was loaded first."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario that can be run: checked, complete, and without a secret in it. Nobody mutates what it holds."""

    name: str
    description: str
    findings: str
    duration: float
    """Seconds."""
    seed: int
    objects: tuple[dict[str, Any], ...]
    """The manifests, in order, as JSON values with a namespace each; what a server adds has been taken off."""
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
    """What the reader of the results must know."""
    secrets: tuple[str, ...] = ()
    """The pseudonyms that stand for secrets; none may ever turn up in what is written."""
