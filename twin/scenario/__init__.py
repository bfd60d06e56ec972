"""Scenarios: the files in which a question is put to the twin.

Start with `model.py`: the file's sections, and `Scenario`, what comes of loading one. `loading.py` is the way from
one to the other: YAML with positions (`document.py`), overrides, manifests, secrets replaced, pydantic, checks
between the parts. Whatever is wrong becomes a `Problem` with file, line and column, and all of them are said at once.
`faults.py` has a class for every kind of fault; `resolve.py` writes a scenario out again.
"""

from twin.scenario.errors import Problem, ScenarioErrors
from twin.scenario.faults import FAULTS, Fault
from twin.scenario.faults.catalogue import FaultDescription, fault_catalogue
from twin.scenario.load import load
from twin.scenario.model import Scenario
from twin.scenario.resolve import resolved, schema
from twin.scenario.sections.adapters import AdapterTemplate
from twin.scenario.sections.cluster import Cluster, Controller, Engine, Node
from twin.scenario.sections.expectations import MEASURES, Expectation, parse_expectation, unknown_measure
from twin.scenario.sections.targets import Candidate, NodeTargets, PodTargets

__all__ = [
    "FAULTS",
    "MEASURES",
    "AdapterTemplate",
    "Candidate",
    "Cluster",
    "Controller",
    "Engine",
    "Expectation",
    "Fault",
    "FaultDescription",
    "Node",
    "NodeTargets",
    "PodTargets",
    "Problem",
    "Scenario",
    "ScenarioErrors",
    "fault_catalogue",
    "load",
    "parse_expectation",
    "resolved",
    "schema",
    "unknown_measure",
]
