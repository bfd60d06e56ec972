"""Scenario files: schema, reading, validation. Start reading at `load.py`.

`model.py` has the file as a whole and the loaded `Scenario`; `sections/` and `faults/` have its parts. `yaml/` reads
values with their positions, `manifests/` the Kubernetes objects, `cross_checks.py` checks the parts against each other.
Each error becomes a `Problem` with file, line and column, and all of them are reported together.
"""

from twin.scenario.errors import Problem, ScenarioErrors
from twin.scenario.faults import FAULTS, Fault
from twin.scenario.faults.catalogue import FaultDescription, fault_catalogue
from twin.scenario.load import load, load_all
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
    "load_all",
    "parse_expectation",
    "resolved",
    "schema",
    "unknown_measure",
]
