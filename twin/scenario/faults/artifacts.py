"""Faults of the registry that adapters are downloaded from. Containers keep what they have downloaded."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from twin.scenario.faults.window import LastingFault

ArtifactGlob = Annotated[str, Field(min_length=1)]


class RegistryFault(LastingFault):
    """Base of the faults that can be restricted to some artifacts."""

    on: ClassVar[str] = "artifacts"

    artifacts: tuple[ArtifactGlob, ...] = ()
    """Only these artifact URLs, as in the ModelAdapter; `*` matches any text. All if absent."""


class RegistryDown(RegistryFault):
    """The registry does not respond.

    An engine that downloads by itself, as vLLM does from a hub, cannot distinguish this from an artifact that does not
    exist: it responds with 404, and the operator treats that as an error of the adapter, retried after
    `controller.pod_cooldown`. Artifacts that a container has downloaded before still load.
    """

    kind: Literal["registry-down"]


class RegistrySlow(RegistryFault):
    """Downloads take longer.

    A download takes the artifact's size divided by `cluster.artifacts.bandwidth`, multiplied by `factor`. The duration
    is fixed when the download starts.
    """

    kind: Literal["registry-slow"]
    factor: float = Field(default=10.0, strict=True, ge=1, le=10_000, allow_inf_nan=False)
    """Multiplier of the download time."""


class ArtifactMissing(RegistryFault):
    """The artifact does not exist in the registry.

    The engine responds with 404, and the adapter is Failed with that reason. It is retried every
    `controller.pod_cooldown`, so it recovers by itself once the artifact exists.
    """

    kind: Literal["artifact-missing"]


class ArtifactForbidden(RegistryFault):
    """The registry refuses access to the artifact with these credentials.

    Models a private or gated repository. An engine that downloads by itself responds as if the artifact did not exist;
    the runtime sidecar reports the difference.
    """

    kind: Literal["artifact-forbidden"]


class ArtifactCorrupt(RegistryFault):
    """Downloads succeed, but the downloaded files are corrupt.

    Models a truncated upload. The engine responds with 500 and its own error text once the download is complete. The
    corrupt files are not kept, so the next attempt downloads them again.
    """

    kind: Literal["artifact-corrupt"]


class AdapterFilesDeleted(RegistryFault):
    """The files of adapters are gone from the pods' disks, as when a volume is not mounted or was cleaned up.

    Only adapters with an absolute path are affected. A load gets 404, and the adapter is Failed. An adapter that is
    loaded serves on as long as its weights are in memory. If others have evicted it, the next request for it ends the
    engine: vLLM reads the files again and does not survive the error. Requests fail with 500, the port closes after a
    second, and the process ends with exit code 0 after six. All adapters of the pod are lost until its container has
    restarted, and the operator has loaded them again.
    """

    kind: Literal["adapter-files-deleted"]
