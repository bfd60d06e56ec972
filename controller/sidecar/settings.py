"""The sidecar's settings, by the flags and variables that they come from."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from controller.engine.flavors import FLAVORS, VLLM, EngineFlavor
from controller.sidecar.artifacts.egress_guard import Network
from controller.sidecar.artifacts.transfer import FIRST_WAIT

ROOT = Path("/tmp/aibrix/adapters")
MOUNT = Path("/var/run/secrets/aibrix")
_TRUE = frozenset({"1", "on", "yes", "true"})


class MetricsMode(Enum):
    """How the engine's metrics are shown."""

    RENAMED = "renamed"
    RAW = "raw"


@dataclass(frozen=True, slots=True)
class Settings:
    """What one sidecar needs to know."""

    engine: str = "http://localhost:8000"
    dialect: EngineFlavor = VLLM
    root: Path = ROOT
    mount: Path = MOUNT
    budget: int = 50 << 30
    """Bytes of adapters on the disk in all."""
    largest: int = 20 << 30
    """Bytes of one artifact."""
    reserve: int = 256 << 20
    """Bytes of the disk that stay free."""
    connections: int = 8
    """Ranges that are read at once."""
    first_wait: float = FIRST_WAIT
    """Seconds before a range that broke off is asked for again; doubled at each break in a row."""
    allowed: tuple[Network, ...] = ()
    metrics: MetricsMode = MetricsMode.RENAMED
    metrics_path: str = "/metrics"
    hub: str = ""
    s3: str = ""
    google: str = ""


def engine_flavor(environment: Mapping[str, str]) -> EngineFlavor:
    """`INFERENCE_ENGINE`.

    Raises:
        ValueError: this sidecar does not speak to that engine.
    """
    name = environment.get("INFERENCE_ENGINE", "vllm").strip().lower()
    if name not in FLAVORS:
        raise ValueError(f"INFERENCE_ENGINE is one of {', '.join(FLAVORS)}, not {name!r}")
    return FLAVORS[name]


def metrics_mode(environment: Mapping[str, str]) -> MetricsMode:
    """`METRICS_ENABLE_TRANSFORMATION` switched off is raw whatever else is said."""
    if environment.get("METRICS_ENABLE_TRANSFORMATION", "1").strip().lower() not in _TRUE:
        return MetricsMode.RAW
    if environment.get("METRICS_RAW_PASSTHROUGH_MODE", "0").strip().lower() in _TRUE:
        return MetricsMode.RAW
    return MetricsMode.RENAMED
