"""Section `cluster.artifacts`: the registry of adapters, and adapters in folders of the pods."""

from typing import Annotated, Any

from pydantic import Field

from twin.scenario.sections.base_model import Count, ScenarioModel
from twin.scenario.units import Bandwidth, Size


class ArtifactSize(ScenarioModel):
    """Size of an adapter's files."""

    default: Size = 80.0 * 2**20  # rank 16 on an 8B model is some 50 to 150 MB
    """Size if the adapter has no rank or `per_rank` is absent."""
    per_rank: Size | None = None
    """Bytes for each unit of `additionalConfig.rank`."""


class ArtifactFile(ScenarioModel):
    """An adapter in a folder of the pods, such as a mounted volume."""

    rank: Count = 8
    """Rank of its weights."""
    size: Size | None = None
    """Size of its files; that of other artifacts if absent."""
    config: dict[str, Any] = {}
    """Fields of `adapter_config.json` that are not a usual adapter's, such as `use_dora: true`."""
    broken: str = ""
    """Text with which an engine refuses to load it."""


FilePath = Annotated[str, Field(pattern=r"^/.")]


class Artifacts(ScenarioModel):
    """Registry of adapters, and files on the pods."""

    bandwidth: Bandwidth = 250e6  # 2Gbit/s
    """Bandwidth from the registry to one pod."""
    size: ArtifactSize = ArtifactSize()
    """Size of adapters."""
    files: dict[FilePath, ArtifactFile] | None = None
    """Adapters by absolute path on the pods: no other path exists there. If absent, every path has a valid adapter."""
