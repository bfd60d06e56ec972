"""Section `cluster.images`: pulls of container images, and registries that do not answer."""

from typing import Annotated

from pydantic import Field, model_validator

from formats.durations import format_duration
from twin.scenario.sections.base_model import ScenarioModel
from twin.scenario.sections.distributions import Distribution
from twin.scenario.units import Duration, value_error

RegistryHost = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?$")]


class Unreachable(ScenarioModel):
    """A time in which a registry cannot be reached."""

    start: Duration = Field(default=0.0, alias="from")
    """Start."""
    until: Duration | None = None
    """End; the end of the run if absent."""

    @model_validator(mode="after")
    def _ordered(self) -> "Unreachable":
        if self.until is not None and self.until <= self.start:
            raise value_error("ends before it starts", f"allowed: later than {format_duration(self.start)}", ("until",))
        return self


class Images(ScenarioModel):
    """Images of containers."""

    pull: Distribution | None = None
    """Time to pull an image that is not on the node yet. If absent, every image is on every node, and only the policy
    `Always` needs the registry."""
    unreachable: dict[RegistryHost, Unreachable] = {}
    """Times in which registries cannot be reached, by host; that of Docker Hub is `docker.io`."""
