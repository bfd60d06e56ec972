"""Faults of the registry that adapters are downloaded from."""

from twin.faults.context import ActiveFault, Process
from twin.scenario.faults import RegistryFault, RegistrySlow
from twin.world.registry import RegistryError, RegistryRule

_ERRORS: dict[str, RegistryError] = {
    "registry-down": "unreachable",
    "registry-slow": "",
    "artifact-missing": "missing",
    "artifact-forbidden": "forbidden",
    "artifact-corrupt": "corrupt",
    "adapter-files-deleted": "deleted",
}


def registry(active: ActiveFault, fault: RegistryFault) -> Process:
    """Make downloads fail, slow or corrupt."""
    factor = fault.factor if isinstance(fault, RegistrySlow) else 1.0
    rule = RegistryRule(_ERRORS[active.kind], fault.artifacts, factor)
    return active.lasting(fault, lambda: ((), active.context.world.artifacts.add(active.number, rule)))
