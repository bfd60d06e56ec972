"""A scenario file that runs in some hundredths of a second; not a test."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.twin.worlds import adapters, deployment


def a_file(folder: Path, **sections: Any) -> Path:
    """Three pods, six adapters that come one after the other, three minutes; `sections` are those of the file."""
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
