"""Conditions that say why an adapter cannot run: not the operator's fault, and not its to resolve."""

from controller.engine.load_errors import LOAD_ERRORS, Fault
from controller.engine.sidecar_codes import CODES
from twin.trace.lines import AdapterLine

SAID_BY_ENGINE = frozenset(
    {"ArtifactNotFound", "Refused", "RuntimeUpdatingOff", "Unauthorized"}
    | {row.reason for row in LOAD_ERRORS if row.fault is not Fault.ENGINE}
    | {error_class.reason for error_class in CODES.values() if error_class.adapter_error}
)
"""Condition reasons that blame the adapter, its key or the engines' flags, and that only another attempt can clear."""

WITHOUT_CREDENTIALS = frozenset(
    {
        "CredentialsWithheld",
        "SecretUnavailable",
        "SecretNotFound",
        "SecretForbidden",
        "SecretInvalid",
        "SecretKeyMissing",
    }
)
"""Condition reasons of an adapter whose credentials cannot be read: nothing is sent to engines, not even an unload."""

OWN_FAULT = (
    SAID_BY_ENGINE
    | WITHOUT_CREDENTIALS
    | {"NoActivator", "UnknownScheduler", "UnsupportedArtifact", "InvalidTimeout", "ServiceNameTaken"}
)
"""All condition reasons that an operator cannot resolve."""

REFUSED_PUBLICATION = frozenset(
    {"ServiceNameTaken", "NameTaken", "QuotaExceeded", "PublicationForbidden", "PublicationInvalid"}
)
"""Condition reasons of a Service or slice that the API server refuses, for example because the name is taken."""


def says(line: AdapterLine, reasons: frozenset[str]) -> bool:
    """Return whether a false condition of the adapter has one of these reasons."""
    return any(status != "True" and reason in reasons for status, reason in line.conditions.values())
