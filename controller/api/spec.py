"""Meaning of a ModelAdapter's spec: what to send to an engine, and why it cannot be served. Pure.

An engine fetches public artifacts by itself; a source that needs credentials or a client library needs the runtime
sidecar (`cache/routing.py` selects the pods that have it).
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from controller.api.types import ModelAdapterSpec
from formats.durations import parse_duration
from formats.errors import FormatError
from formats.quantities import parse_size

_LONGEST_RANK = 9
"""Digits of a rank."""
_LARGEST_SIZE = 1 << 60
"""Bytes; the status has 64 bits for them."""
_HUGGING_FACE = ("huggingface://", "hf://")
_NEEDS_SIDECAR = ("s3://", "gs://", "gcs://", "tos://")
_CACHED_ARTIFACT = re.compile(r"/.*/([0-9a-f]{64})/[0-9a-f]{1,64}")
_AIBRIX_FOLDER = "/tmp/aibrix/adapters"
"""Folder of AIBrix's own sidecar (`local_dir` in its `runtime/artifact_service.py`, seen in 0.7.0)."""


@dataclass(frozen=True, slots=True)
class SpecProblem:
    """Reason for which a spec cannot be served; used in conditions."""

    reason: str
    message: str
    recheck: float = 0.0
    """Seconds after which to check again; 0 if only a change of the spec can help."""


@lru_cache(maxsize=65536)
def lora_path(artifact_url: str) -> str:
    """Return the `lora_path` for a URL: `org/name` for `huggingface://org/name`, others unchanged."""
    for scheme in _HUGGING_FACE:
        if artifact_url.startswith(scheme):
            return artifact_url[len(scheme) :]
    return artifact_url


@lru_cache(maxsize=65536)
def artifact_of(path: str) -> str:
    """Return a short hash of a `lora_path`, or of the `root` in an engine's list of models.

    The sidecar passes an engine a folder that is named after the full hash.
    """
    cached = _CACHED_ARTIFACT.fullmatch(path)
    return (cached[1] if cached else sha256(path.encode()).hexdigest())[:12]


def is_aibrix_folder(root: str, name: str) -> bool:
    """Return whether a root is the folder in which AIBrix's own sidecar keeps an adapter of this name.

    It says nothing about the artifact: that is the one for which the operator has announced the load.
    """
    return root == f"{_AIBRIX_FOLDER}/{name}"


def load_timeout(spec: ModelAdapterSpec, default: float) -> float:
    """Return the timeout of a load in seconds: `additionalConfig.timeout` (`90`, `120s`, `1m30s`), else `default`."""
    return _seconds(spec.additional_config.get("timeout", "").strip()) or default


def rank_of(spec: ModelAdapterSpec) -> int:
    """Return the adapter's rank as `additionalConfig.rank` says; 0 if it says none, or no number above 0."""
    text = spec.additional_config.get("rank", "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_RANK else 0


def size_of(spec: ModelAdapterSpec) -> int:
    """Return the bytes of the weights as `additionalConfig.size` says (`80Mi`); 0 if it says none."""
    text = spec.additional_config.get("size", "").strip()
    try:
        size = parse_size(text) if text else 0
        return int(size) if size <= _LARGEST_SIZE else 0
    except FormatError:
        return 0


def problem_of(spec: ModelAdapterSpec, policies: frozenset[str]) -> SpecProblem | None:
    """Return why the adapter cannot be placed at all, if anything."""
    if spec.scheduler_name not in policies:
        names = ", ".join(sorted(policies))
        return SpecProblem("UnknownScheduler", f"schedulerName {spec.scheduler_name!r} is unknown; allowed: {names}")
    timeout = spec.additional_config.get("timeout", "").strip()
    if timeout and not _seconds(timeout):
        return SpecProblem(
            "InvalidTimeout", f"additionalConfig.timeout {timeout!r} is not a duration; allowed: seconds, or 120s, 2m"
        )
    size = spec.additional_config.get("size", "").strip()
    if size and not size_of(spec):
        return SpecProblem("InvalidSize", f"additionalConfig.size {size!r} is not a size; allowed: 80Mi, 1Gi, 500M")
    return None


def sidecar_needed(spec: ModelAdapterSpec) -> str:
    """Return why an engine cannot fetch the artifact by itself; empty if it can."""
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
