"""Settings of the sidecar, from flags and environment variables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from controller.engine.flavors import FLAVORS, VLLM, EngineFlavor
from controller.sidecar.artifacts.egress_guard import Network
from controller.sidecar.artifacts.transfer import FIRST_WAIT

ROOT = Path("/tmp/aibrix/adapters")
MOUNT = Path("/var/run/secrets/aibrix")
_TRUE = frozenset({"1", "on", "yes", "true"})


class MetricsMode(Enum):
    """Names of the engine's metrics: translated or unchanged."""

    RENAMED = "renamed"
    RAW = "raw"


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one sidecar.

    Attributes:
        engine: URL of the engine.
        engine_key: API key of the engine, for requests that bring none.
        dialect: kind of the engine.
        root: folder of the artifact cache.
        mount: folder of a mounted Secret.
        budget: maximum bytes of artifacts on the disk.
        largest: maximum bytes of one artifact.
        reserve: bytes of the disk that stay free.
        connections: ranges fetched concurrently.
        first_wait: seconds before an interrupted range is fetched again; doubled with each interruption in a row.
        allowed: networks to fetch from that are refused by default.
        metrics: names of the engine's metrics.
        metrics_path: path of the engine's metrics.
        hub: URL of the Hugging Face Hub; empty for the public one.
        s3: URL of the S3 service; empty for AWS.
        google: URL of a Google Cloud Storage emulator; empty for the service.
    """

    engine: str = "http://localhost:8000"
    engine_key: str = field(default="", repr=False)
    dialect: EngineFlavor = VLLM
    root: Path = ROOT
    mount: Path = MOUNT
    budget: int = 50 << 30
    largest: int = 20 << 30
    reserve: int = 256 << 20
    connections: int = 8
    first_wait: float = FIRST_WAIT
    allowed: tuple[Network, ...] = ()
    metrics: MetricsMode = MetricsMode.RENAMED
    metrics_path: str = "/metrics"
    hub: str = ""
    s3: str = ""
    google: str = ""


def engine_flavor(environment: Mapping[str, str]) -> EngineFlavor:
    """Return the engine that `INFERENCE_ENGINE` names.

    Raises:
        ValueError: if the engine is not supported.
    """
    name = environment.get("INFERENCE_ENGINE", "vllm").strip().lower()
    if name not in FLAVORS:
        raise ValueError(f"INFERENCE_ENGINE must be one of {', '.join(FLAVORS)}, not {name!r}")
    return FLAVORS[name]


def engine_key(environment: Mapping[str, str]) -> str:
    """Return `INFERENCE_ENGINE_API_KEY`, which a Secret's trailing newline does not change.

    Raises:
        ValueError: if no header can hold it; the message does not contain it.
    """
    key = environment.get("INFERENCE_ENGINE_API_KEY", "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("INFERENCE_ENGINE_API_KEY must be printable ASCII without blanks")
    return key


def metrics_mode(environment: Mapping[str, str]) -> MetricsMode:
    """Return the mode; a disabled `METRICS_ENABLE_TRANSFORMATION` takes precedence."""
    if environment.get("METRICS_ENABLE_TRANSFORMATION", "1").strip().lower() not in _TRUE:
        return MetricsMode.RAW
    if environment.get("METRICS_RAW_PASSTHROUGH_MODE", "0").strip().lower() in _TRUE:
        return MetricsMode.RAW
    return MetricsMode.RENAMED
