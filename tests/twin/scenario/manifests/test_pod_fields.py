"""The table of fields that are read is that of the code, and `twin check` names the others."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from twin.apiserver.codec.protobuf import fields_of
from twin.scenario import load
from twin.scenario.manifests.pod_fields import READ

WORLD = Path(__file__).parents[4] / "twin/world"
SHARED = {"name", "image", "command", "args", "env", "ports", "path", "port", "host", "resources", "priority"}
SHARED |= {"activeDeadlineSeconds", "exec"}
"""Names that other objects have too (a Job, a hook), so that a quoted one says nothing about a pod's spec."""
WRITTEN = {"hostname", "subdomain", "volumes"}
"""Fields that the StatefulSet controller writes."""


@cache
def source(module: str) -> str:
    return (WORLD / module).read_text(encoding="utf-8")


def leaves(table: Any) -> Iterator[tuple[str, str]]:
    for name, item in table.items():
        if isinstance(item, str):
            yield name, item
        else:
            yield from leaves(item)


@pytest.mark.parametrize(("name", "module"), sorted(set(leaves(READ))))
def test_a_field_is_read_by_the_module_that_the_table_names(name: str, module: str) -> None:
    assert re.search(rf'"{re.escape(name)}"', source(module))


@pytest.mark.parametrize("message", ["core.PodSpec", "core.Container", "core.Probe", "core.Lifecycle"])
def test_no_module_reads_a_field_that_the_table_lacks(message: str) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(WORLD.rglob("*.py")))
    known = {name for name, _ in leaves(READ)} | _branches(READ)
    unknown = set(fields_of(message)) - known - SHARED - WRITTEN
    assert not [name for name in sorted(unknown) if re.search(rf'(?:get\(|\[)"{name}"', text)]


def _branches(table: Any) -> set[str]:
    names: set[str] = set()
    for name, item in table.items():
        if not isinstance(item, str):
            names |= {name} | _branches(item)
    return names


MANIFEST = """\
name: fields
duration: 1m
objects:
  - apiVersion: v1
    kind: Pod
    metadata: {name: llm, labels: {adapter.model.aibrix.ai/enabled: "true"}}
    spec:
      dnsPolicy: ClusterFirst
      priorityClassName: high
      volumes: [{name: cache, emptyDir: {}}]
      containers:
        - name: vllm
          image: vllm/vllm-openai:v0.11.0
          command: [vllm, serve, base]
          volumeMounts: [{name: cache, mountPath: /cache}]
          resources: {limits: {nvidia.com/gpu: "1", memory: 8Gi}}
          readinessProbe: {httpGet: {path: /health, port: 8000}, timeoutSeconds: 5}
"""


def test_a_note_lists_the_fields_that_nothing_reads_at_the_line_of_the_first(tmp_path: Path) -> None:
    file = tmp_path / "fields.yaml"
    file.write_text(MANIFEST, encoding="utf-8")
    scenario = load(file)
    (note,) = [note for note in scenario.notes if "does not read" in note]
    assert note == (
        "Pod default/llm: fields of its pods that the twin does not read: volumes, "
        "containers.volumeMounts, containers.resources.limits.memory, containers.readinessProbe.timeoutSeconds"
    )
    assert scenario.places[note] == f"{file}:10", "the line of the first"
