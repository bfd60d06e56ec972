"""Classes of the runtime sidecar's error codes: the reason for conditions, and whether to retry.

Counterpart of `sidecar/errors.py`; a test compares the two. The sidecar's messages are shown unchanged.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorClass:
    """Reaction of the operator to a code."""

    reason: str
    """Reason for conditions, in CamelCase."""
    retriable: bool = False
    adapter_error: bool = False
    """True if no other pod would succeed."""


CODES = {
    "invalid_request": ErrorClass("Refused", adapter_error=True),
    "request_too_large": ErrorClass("Refused", adapter_error=True),
    "invalid_name": ErrorClass("Refused", adapter_error=True),
    "invalid_url": ErrorClass("InvalidArtifactURL", adapter_error=True),
    "address_refused": ErrorClass("ArtifactAddressRefused", adapter_error=True),
    "store_unsupported": ErrorClass("StoreUnsupported"),
    "credentials_invalid": ErrorClass("CredentialsInvalid", adapter_error=True),
    "credentials_missing": ErrorClass("CredentialsMissing", adapter_error=True),
    "artifact_forbidden": ErrorClass("ArtifactForbidden", adapter_error=True),
    "artifact_not_found": ErrorClass("ArtifactNotFound", adapter_error=True),
    "artifact_corrupt": ErrorClass("ArtifactCorrupt", adapter_error=True),
    "artifact_unsafe": ErrorClass("ArtifactUnsafe", adapter_error=True),
    "artifact_too_large": ErrorClass("ArtifactTooLarge"),
    "disk_full": ErrorClass("DiskFull", retriable=True),
    "store_unavailable": ErrorClass("StoreUnavailable", retriable=True),
    "store_timeout": ErrorClass("StoreTimeout", retriable=True),
    "engine_unavailable": ErrorClass("EngineUnavailable", retriable=True),
    "superseded": ErrorClass("Superseded", retriable=True),
    "internal_error": ErrorClass("SidecarFailed", retriable=True),
}
