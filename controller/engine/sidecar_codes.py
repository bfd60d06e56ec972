"""What the runtime sidecar's codes mean to the operator: the word for conditions, and what is worth another try.

The other half of `sidecar/errors.py`; a test holds the two together. The sidecar's messages say what to do, so they
are shown as they are.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to make of a code."""

    reason: str
    """For conditions, CamelCase."""
    retriable: bool = False
    adapters_fault: bool = False
    """Whether no other pod would do better."""


CODES = {
    "invalid_request": Verdict("Refused", adapters_fault=True),
    "request_too_large": Verdict("Refused", adapters_fault=True),
    "invalid_name": Verdict("Refused", adapters_fault=True),
    "invalid_url": Verdict("InvalidArtifactURL", adapters_fault=True),
    "address_refused": Verdict("ArtifactAddressRefused", adapters_fault=True),
    "store_unsupported": Verdict("StoreUnsupported"),
    "credentials_invalid": Verdict("CredentialsInvalid", adapters_fault=True),
    "credentials_missing": Verdict("CredentialsMissing", adapters_fault=True),
    "artifact_forbidden": Verdict("ArtifactForbidden", adapters_fault=True),
    "artifact_not_found": Verdict("ArtifactNotFound", adapters_fault=True),
    "artifact_corrupt": Verdict("ArtifactCorrupt", adapters_fault=True),
    "artifact_unsafe": Verdict("ArtifactUnsafe", adapters_fault=True),
    "artifact_too_large": Verdict("ArtifactTooLarge"),
    "disk_full": Verdict("DiskFull", retriable=True),
    "store_unavailable": Verdict("StoreUnavailable", retriable=True),
    "store_timeout": Verdict("StoreTimeout", retriable=True),
    "engine_unavailable": Verdict("EngineUnavailable", retriable=True),
    "superseded": Verdict("Superseded", retriable=True),
    "internal_error": Verdict("SidecarFailed", retriable=True),
}
