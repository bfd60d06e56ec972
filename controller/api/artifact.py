"""Facts about an adapter's artifact: read by a runtime sidecar and kept in the status, or stated in the spec. Pure."""

import msgspec

from controller.api.spec import artifact_of, lora_path, rank_of, size_of
from controller.api.types import ArtifactStatus, ModelAdapter, ModelAdapterSpec

READ, STATED = "Artifact", "Spec"
"""Sources of facts: the artifact itself, or `additionalConfig`."""

UNKNOWN = ArtifactStatus()


def artifact_hash(spec: ModelAdapterSpec) -> str:
    """Return the short hash of the artifact that a spec names, as placements have it."""
    return artifact_of(lora_path(spec.artifact_url))


def artifact_facts(adapter: ModelAdapter, read: ArtifactStatus | None = None) -> ArtifactStatus:
    """Return what is known about the adapter's artifact.

    What the artifact says has precedence over the spec, except for the size, if it does not tell it.

    Args:
        adapter: the adapter; facts in its status are used if they are of the artifact that its spec names.
        read: facts that were read from the artifact and are not in the status yet.
    """
    spec, known = adapter.spec, adapter.status.artifact
    if read is None and known is not None and known.source == READ and known.hash == artifact_hash(spec):
        read = known
    rank, size = rank_of(spec), size_of(spec)
    if read is not None:
        missing = {"rank": read.rank or rank, "size_bytes": read.size_bytes or size}
        return msgspec.structs.replace(read, **missing)
    if not rank and not size:
        return UNKNOWN
    return ArtifactStatus(hash=artifact_hash(spec), rank=rank, size_bytes=size, source=STATED)
