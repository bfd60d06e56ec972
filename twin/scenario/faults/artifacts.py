"""Faults of the registry that adapters come from. What a container has fetched already it needs not fetch again."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from twin.scenario.faults.timing import Spell

ArtifactGlob = Annotated[str, Field(min_length=1)]


class RegistrySpell(Spell):
    """One that can tell what is asked for."""

    on: ClassVar[str] = "artifacts"

    artifacts: tuple[ArtifactGlob, ...] = ()
    """Only these artifact URLs, as in the ModelAdapter; `*` as in a shell. All if absent."""


class RegistryDown(RegistrySpell):
    """The registry does not answer."""

    kind: Literal["registry-down"]


class RegistrySlow(RegistrySpell):
    """Downloads take longer."""

    kind: Literal["registry-slow"]
    factor: float = Field(default=10.0, strict=True, ge=1, le=10_000, allow_inf_nan=False)
    """How many times as long."""


class ArtifactMissing(RegistrySpell):
    """The registry says that there is no such artifact."""

    kind: Literal["artifact-missing"]


class ArtifactForbidden(RegistrySpell):
    """The registry gives the artifact to nobody who asks with these credentials."""

    kind: Literal["artifact-forbidden"]


class ArtifactCorrupt(RegistrySpell):
    """What is fetched while it lasts is broken: the download ends well, the engine cannot use it."""

    kind: Literal["artifact-corrupt"]
