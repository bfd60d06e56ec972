"""A scenario file that runs in a few hundredths of a second; not a test."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.twin.worlds import adapters, deployment


def a_file(folder: Path, **sections: Any) -> Path:
    """Write a scenario with three pods, six adapters and three minutes; `sections` replace those of the file."""
    engine = {"startup": "2s", "load": {"lognormal": {"median": "500ms", "p95": "2s"}}}
    body = {
        "name": "tiny",
        "duration": "3m",
        "objects": [deployment(3)],
        "cluster": {"engines": {"default": engine}, "artifacts": {"bandwidth": "10Gbit/s"}},
        "adapters": [adapters(6, replicas=1, arrive={"poisson": "10/min", "from": "20s"})],
    } | sections
    file = folder / "tiny.yaml"
    with file.open("w", encoding="utf-8") as out:
        YAML(typ="safe", pure=True).dump(body, out)
    return file
