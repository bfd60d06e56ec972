"""A first scenario for manifests, with comments on what a reader may want to change. Start reading at `draft`."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from controller.api.labels import ENABLED_LABEL
from fake_vllm.cli import command_line
from fake_vllm.engine.config import EngineConfigError
from twin.scenario.manifests.pod_templates import PodTemplate, pod_templates
from twin.scenario.manifests.sources import KUSTOMIZATION_FILES
from twin.world.kubelet.pod_spec import command_of, engine_of, runs_engine, version_of

_SUFFIXES = (".yaml", ".yml", ".json")
_NAME = re.compile(r"[^a-z0-9-]+")
_TEMPLATE = """\
# A scenario for lora-twin. `twin check` validates it, `twin run` runs it, `twin schema` describes all fields.
name: {name}
description: Do all adapters run, and how soon?
duration: 20m # simulated time; a run takes seconds

manifests: # relative to this file; globs such as k8s/*.yaml are allowed
{manifests}
{adapters}
cluster:
  # Nodes are added until all pods fit. For nodes of your own:
  #   nodes: {{count: 2, gpus: 8, zones: [a, b]}}
  engines:
    default:
      startup: {{lognormal: {{median: 60s, p95: 90s}}}} # from the start of an engine until it is ready
      load: {{lognormal: {{median: 1s, p95: 3s}}}} # one adapter, without its download; `twin calibrate` measures it

# The operator as you run it: policy, retries, replicas of itself.
# controller:
#   policy: least-adapters # `twin policies` lists them
#   retry: {{retries: 5, base: 5s}}

# What may go wrong; `twin faults` lists the kinds.
# faults:
#   - {{kind: engine-restart, pods: {{count: 1}}, at: 5m}}
#   - {{kind: connection-refused, pods: {{count: 1}}, from: 8m, until: 10m}}

# What must hold; a run that misses one is Failed.
expect:
  - adapters.failed == 0
  - time_to_running_seconds.max <= 300
"""

_ADAPTERS = """
adapters: # the manifests have none; ModelAdapters of your own can be listed among the manifests instead
  - name: example-{{i}}
    count: 3
    arrive: {{poisson: 2/min, from: 2m}}
    spec:
      baseModel: {base}
      podSelector: {{matchLabels: {labels}}}
      artifactURL: "huggingface://acme/example-{{i}}"
"""


class DraftError(Exception):
    """No scenario can be made of the given files; the message is one line."""


def draft(paths: Sequence[Path], name: str, folder: Path, adapters: str = "") -> str:
    """Return the scenario as YAML with comments.

    Args:
        paths: manifests, or folders of which all YAML and JSON files are taken.
        name: the scenario's name; what a name cannot contain becomes a hyphen.
        folder: the folder of the scenario, which the paths in it are relative to.
        adapters: a section with adapters; empty if the manifests have some.

    Raises:
        DraftError: if a file does not exist, a folder contains no manifest, or either is a kustomization.
    """
    files = [file for path in paths for file in _manifests(path)]
    lines = "\n".join(f"  - {Path(os.path.relpath(file, folder)).as_posix()}" for file in dict.fromkeys(files))
    return _TEMPLATE.format(
        name=_NAME.sub("-", name.lower()).strip("-") or "scenario", manifests=lines, adapters=adapters
    )


def example_adapters(objects: Sequence[Mapping[str, Any]]) -> str:
    """Return a section with example adapters for the first engine; empty if there are adapters or no engine."""
    if any(item.get("kind") == "ModelAdapter" for item in objects):
        return ""
    for item in objects:
        for template in pod_templates(item):
            labels, containers = dict(template.meta.get("labels") or {}), template.spec.get("containers") or ()
            if labels and runs_engine(str(item["kind"]), labels, containers):
                return _section(str(item["metadata"].get("namespace", "default")), labels, template)
    return ""


def _section(namespace: str, labels: Mapping[str, str], template: PodTemplate) -> str:
    name = engine_of(template.meta, template.spec)
    container = next(item for item in template.spec["containers"] if item["name"] == name)
    try:
        base = command_line.read(command_of(container), {}, version=version_of(container)).served_model_names[0]
    except EngineConfigError:
        base = name
    selected = {key: value for key, value in labels.items() if key != ENABLED_LABEL} or labels
    text = _ADAPTERS.format(base=json.dumps(base), labels=json.dumps(selected))
    return text if namespace == "default" else text.replace("    count:", f"    namespace: {namespace}\n    count:")


def _manifests(path: Path) -> list[Path]:
    if path.is_dir():
        if any((path / name).is_file() for name in KUSTOMIZATION_FILES):
            raise DraftError(f"{path}: is a kustomization; run `kubectl kustomize {path} > all.yaml` and give all.yaml")
        found = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES and file.is_file())
        if not found:
            raise DraftError(f"{path}: contains no manifest; allowed: a folder with YAML or JSON files")
        return found
    if path.name in KUSTOMIZATION_FILES:
        raise DraftError(
            f"{path}: is a kustomization; run `kubectl kustomize {path.parent} > all.yaml` and give all.yaml"
        )
    if not path.is_file():
        raise DraftError(f"{path}: not found; allowed: a manifest, or a folder of them")
    return [path]
