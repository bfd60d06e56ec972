"""Variants of a scenario have the same faults: targets and times are drawn from separate streams."""

from dataclasses import replace
from pathlib import Path

from twin.scenario import load
from twin.scenario.faults import FAULTS
from twin.sim.simulation import simulate
from twin.trace.lines import FaultLine

MIXED = load(Path(__file__).parents[3] / "tests/data/mixed.yaml")
OPERATORS_OWN = ("controller-crash", "leader-loss")
"""Faults of the leader or at a write: these depend on what the operator does."""


def test_another_policy_has_the_same_faults_at_the_same_times_on_the_same_pods() -> None:
    def met(policy: str, seed: int) -> list[FaultLine]:
        controller = MIXED.controller.model_copy(update={"policy": policy})
        variant = replace(MIXED, controller=controller, seed=seed, duration=12.5 * 60)
        lines = [line for line in simulate(variant).lines if isinstance(line, FaultLine)]
        return [line for line in lines if line.fault not in OPERATORS_OWN]

    one, other = met("least-adapters", 5), met("random", 5)
    assert one == other
    assert {line.fault for line in one} == set(FAULTS) - set(OPERATORS_OWN)
    assert one != met("least-adapters", 6)
