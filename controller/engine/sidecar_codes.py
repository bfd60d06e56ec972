"""What the runtime sidecar's codes mean to the operator: the word for conditions, and what is worth another try.

The other half of `sidecar/errors.py`; a test holds the two together. The sidecar's messages say what to do, so they
are shown as they are.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorClass:
    """What to make of a code."""

    reason: str
    """For conditions, CamelCase."""
    retriable: bool = False
    adapters_fault: bool = False
    """Whether no other pod would do better."""


CODES = {
    "invalid_request": ErrorClass("Refused", adapters_fault=True),
    "request_too_large": ErrorClass("Refused", adapters_fault=True),
    "invalid_name": ErrorClass("Refused", adapters_fault=True),
    "invalid_url": ErrorClass("InvalidArtifactURL", adapters_fault=True),
    "address_refused": ErrorClass("ArtifactAddressRefused", adapters_fault=True),
    "store_unsupported": ErrorClass("StoreUnsupported"),
    "credentials_invalid": ErrorClass("CredentialsInvalid", adapters_fault=True),
    "credentials_missing": ErrorClass("CredentialsMissing", adapters_fault=True),
    "artifact_forbidden": ErrorClass("ArtifactForbidden", adapters_fault=True),
    "artifact_not_found": ErrorClass("ArtifactNotFound", adapters_fault=True),
    "artifact_corrupt": ErrorClass("ArtifactCorrupt", adapters_fault=True),
    "artifact_unsafe": ErrorClass("ArtifactUnsafe", adapters_fault=True),
    "artifact_too_large": ErrorClass("ArtifactTooLarge"),
    "disk_full": ErrorClass("DiskFull", retriable=True),
    "store_unavailable": ErrorClass("StoreUnavailable", retriable=True),
    "store_timeout": ErrorClass("StoreTimeout", retriable=True),
    "engine_unavailable": ErrorClass("EngineUnavailable", retriable=True),
    "superseded": ErrorClass("Superseded", retriable=True),
    "internal_error": ErrorClass("SidecarFailed", retriable=True),
}
