"""The registry that adapters come from."""

from twin.faults.context import ActiveFault, Process
from twin.scenario.faults import RegistryFault, RegistrySlow
from twin.world.registry import RegistryRule, Trouble

_TROUBLE: dict[str, Trouble] = {
    "registry-down": "unreachable",
    "registry-slow": "",
    "artifact-missing": "missing",
    "artifact-forbidden": "forbidden",
    "artifact-corrupt": "corrupt",
}


def registry(active: ActiveFault, fault: RegistryFault) -> Process:
    """Downloads fail, take long, or bring what is of no use."""
    factor = fault.factor if isinstance(fault, RegistrySlow) else 1.0
    rule = RegistryRule(_TROUBLE[active.kind], fault.artifacts, factor)
    return active.lasting(fault, lambda: ((), active.stage.world.artifacts.add(active.number, rule)))
