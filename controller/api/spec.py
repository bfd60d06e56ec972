"""What a ModelAdapter's spec means: what to send to an engine, and what stands in the way.

Pure. An engine by itself fetches public artifacts that it knows how to fetch; a source that needs credentials or a
client of its own needs the runtime sidecar (`ways.py` says which pods have it).
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from controller.api.types import ModelAdapterSpec
from formats.durations import parse_duration
from formats.errors import FormatError

_HUGGING_FACE = ("huggingface://", "hf://")
_NEEDS_SIDECAR = ("s3://", "gs://", "gcs://", "tos://")
_KEPT = re.compile(r"/.*/([0-9a-f]{64})/[0-9a-f]{1,64}")


@dataclass(frozen=True, slots=True)
class SpecProblem:
    """Why a spec cannot be served, as a condition shows it."""

    reason: str
    message: str
    recheck: float = 0.0
    """Seconds after which to look again; 0 if only a change of the spec can help."""


@lru_cache(maxsize=65536)
def lora_path(artifact_url: str) -> str:
    """What `lora_path` is for this URL: `huggingface://org/name` is sent as `org/name`, the rest as it is."""
    for scheme in _HUGGING_FACE:
        if artifact_url.startswith(scheme):
            return artifact_url[len(scheme) :]
    return artifact_url


@lru_cache(maxsize=65536)
def artifact_of(path: str) -> str:
    """Short hash of a `lora_path`; `root` in an engine's list of models is such a path, so both compare.

    The sidecar gives an engine a folder that is named after the same hash, whole.
    """
    kept = _KEPT.fullmatch(path)
    return (kept[1] if kept else sha256(path.encode()).hexdigest())[:12]


def load_timeout(spec: ModelAdapterSpec, default: float) -> float:
    """Seconds that a load may take: `additionalConfig.timeout` (`90`, `120s`, `1m30s`), else `default`."""
    text = spec.additional_config.get("timeout", "").strip()
    if not text:
        return default
    seconds = _seconds(text)
    return default if seconds is None or seconds <= 0 else seconds


def problem_of(spec: ModelAdapterSpec, policies: frozenset[str]) -> SpecProblem | None:
    """What keeps the adapter from being placed at all, if anything."""
    if spec.scheduler_name not in policies:
        known = ", ".join(sorted(policies))
        return SpecProblem("UnknownScheduler", f"schedulerName {spec.scheduler_name!r} is unknown; known are {known}")
    timeout = spec.additional_config.get("timeout", "").strip()
    if timeout and not _seconds(timeout):
        return SpecProblem(
            "InvalidTimeout", f"additionalConfig.timeout {timeout!r} is no duration; write seconds or 120s, 2m"
        )
    return None


def sidecar_needed(spec: ModelAdapterSpec) -> str:
    """Why an engine cannot fetch the artifact by itself; empty if it can."""
    for scheme in _NEEDS_SIDECAR:
        if spec.artifact_url.startswith(scheme):
            return f"{scheme} is fetched by the runtime sidecar"
    if spec.credentials_secret_ref is not None and spec.credentials_secret_ref.name:
        return "credentialsSecretRef needs the runtime sidecar"
    return ""


def _seconds(text: str) -> float | None:
    try:
        return parse_duration(text, plain_seconds=True)
    except FormatError:
        return None
