"""Faults of the registry that adapters come from. What a container has fetched already it needs not fetch again."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from twin.scenario.faults.window import LastingFault

ArtifactGlob = Annotated[str, Field(min_length=1)]


class RegistryFault(LastingFault):
    """One that can tell what is asked for."""

    on: ClassVar[str] = "artifacts"

    artifacts: tuple[ArtifactGlob, ...] = ()
    """Only these artifact URLs, as in the ModelAdapter; `*` as in a shell. All if absent."""


class RegistryDown(RegistryFault):
    """The registry does not answer.

    An engine that fetches by itself, as vLLM does from a hub, cannot tell that from an artifact that is not there: it
    answers 404, and the operator takes that as the adapter's own fault, to be looked at again after
    `controller.aside_for`. What a container has fetched before is on its disk, and loads as ever.
    """

    kind: Literal["registry-down"]


class RegistrySlow(RegistryFault):
    """Downloads take longer.

    The time of a download is the artifact's size over `cluster.artifacts.bandwidth`, times `factor`. It is settled when
    the download begins.
    """

    kind: Literal["registry-slow"]
    factor: float = Field(default=10.0, strict=True, ge=1, le=10_000, allow_inf_nan=False)
    """How many times as long."""


class ArtifactMissing(RegistryFault):
    """The registry says that there is no such artifact.

    The engine answers 404, the adapter is Failed and says so; it is looked at again every `controller.aside_for`, so it
    comes up by itself when the artifact does.
    """

    kind: Literal["artifact-missing"]


class ArtifactForbidden(RegistryFault):
    """The registry gives the artifact to nobody who asks with these credentials.

    A private or gated repository. An engine that fetches by itself answers as if nothing were there; a runtime sidecar
    can tell.
    """

    kind: Literal["artifact-forbidden"]


class ArtifactCorrupt(RegistryFault):
    """What is fetched while it lasts is broken: the download ends well, the engine cannot use it.

    A truncated upload. The engine answers 500 with its own text once the download is through; a broken file is not
    kept, and the next try fetches again.
    """

    kind: Literal["artifact-corrupt"]
