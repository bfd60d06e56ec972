"""Faults of a scenario: one class for each kind, grouped by what they affect.

A class defines the fields and their documentation; `twin/faults` executes the fault. Start reading at `window.py`,
which has the two base classes: `LastingFault` and `InstantFault`.
"""

from typing import Annotated, Any, get_args

from pydantic import Field

from twin.scenario.faults.api import (
    ApiConflict,
    ApiError,
    ApiFault,
    ApiForbidden,
    ApiInvalid,
    ApiSlow,
    ApiThrottle,
    ConflictStorm,
    StaleReads,
    VersionRollback,
    WatchDrop,
    WatchExpired,
    WatchFreeze,
)
from twin.scenario.faults.artifacts import (
    AdapterFilesDeleted,
    ArtifactCorrupt,
    ArtifactForbidden,
    ArtifactMissing,
    RegistryDown,
    RegistryFault,
    RegistrySlow,
)
from twin.scenario.faults.controllers import ClockSkew, ControllerCrash, LeaderLoss
from twin.scenario.faults.engines import (
    ConnectionRefused,
    ConnectionReset,
    EngineCoreCrash,
    EngineFault,
    EngineRestart,
    HttpError,
    InvalidAdapter,
    MetricsStale,
    MetricsWrong,
    OutOfMemory,
    RequestFault,
    Slow,
    Timeout,
    Unauthorized,
)
from twin.scenario.faults.network import NetworkFault, NetworkLatency, Partition
from twin.scenario.faults.pods import (
    ImageRegistryDown,
    NodeDown,
    NodeDrain,
    NodeLost,
    NodeNotReady,
    PodKill,
    PodStuckTerminating,
    ReadinessFlap,
    Rollout,
)
from twin.scenario.faults.window import InstantFault, LastingFault

__all__ = [
    "FAULTS",
    "ApiConflict",
    "ApiError",
    "ApiFault",
    "ApiForbidden",
    "ApiInvalid",
    "ApiSlow",
    "ApiThrottle",
    "ClockSkew",
    "ConflictStorm",
    "ControllerCrash",
    "EngineCoreCrash",
    "EngineFault",
    "EngineRestart",
    "Fault",
    "ImageRegistryDown",
    "InstantFault",
    "LastingFault",
    "LeaderLoss",
    "NetworkFault",
    "NetworkLatency",
    "NodeDown",
    "NodeDrain",
    "NodeLost",
    "NodeNotReady",
    "Partition",
    "PodKill",
    "PodStuckTerminating",
    "ReadinessFlap",
    "RegistryFault",
    "RegistrySlow",
    "RequestFault",
    "Rollout",
    "StaleReads",
    "VersionRollback",
    "WatchDrop",
    "WatchExpired",
    "WatchFreeze",
]

Fault = Annotated[
    ConnectionRefused
    | ConnectionReset
    | Timeout
    | Slow
    | HttpError
    | Unauthorized
    | InvalidAdapter
    | OutOfMemory
    | MetricsStale
    | MetricsWrong
    | EngineRestart
    | EngineCoreCrash
    | ReadinessFlap
    | PodKill
    | PodStuckTerminating
    | Rollout
    | NodeDown
    | NodeLost
    | NodeNotReady
    | NodeDrain
    | Partition
    | NetworkLatency
    | AdapterFilesDeleted
    | ImageRegistryDown
    | RegistryDown
    | RegistrySlow
    | ArtifactMissing
    | ArtifactForbidden
    | ArtifactCorrupt
    | ApiConflict
    | ApiThrottle
    | ApiError
    | ApiForbidden
    | ApiInvalid
    | ConflictStorm
    | ApiSlow
    | WatchDrop
    | WatchFreeze
    | WatchExpired
    | VersionRollback
    | StaleReads
    | ControllerCrash
    | LeaderLoss
    | ClockSkew,
    Field(discriminator="kind"),
]
"""Any fault; `kind` selects the class."""


def _kinds() -> dict[str, type[Any]]:
    union = get_args(get_args(Fault)[0])
    return {get_args(member.model_fields["kind"].annotation)[0]: member for member in union}


FAULTS: dict[str, type[Any]] = _kinds()
"""Kind of fault to its class, in the order of the catalogue."""
