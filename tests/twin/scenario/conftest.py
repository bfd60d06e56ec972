"""Builders: a folder with one manifest, and scenarios written into it."""

from pathlib import Path

import pytest

from twin.scenario import Scenario, ScenarioErrors, load

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: qwen, namespace: default}
spec:
  replicas: 3
  selector: {matchLabels: {app: qwen}}
  template:
    metadata: {labels: {app: qwen, adapter.model.aibrix.ai/enabled: "true"}}
    spec:
      containers:
        - name: vllm
          image: vllm/vllm-openai:v0.24.0
          command: [vllm, serve, Qwen/Qwen3]
          args: [--enable-lora]
          resources: {limits: {nvidia.com/gpu: "1"}}
"""

FOUR_LINES = """\
name: four-lines
duration: 10m
manifests:
  - base.yaml
"""


class Folder:
    """A folder of scenario and manifests."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write("base.yaml", DEPLOYMENT)

    def write(self, name: str, text: str | bytes) -> Path:
        file = self.path / name
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    def load(self, text: str = FOUR_LINES, **options: object) -> Scenario:
        return load(self.write("s.yaml", text), **options)  # type: ignore[arg-type]

    def errors(self, text: str | bytes = FOUR_LINES, **options: object) -> list[str]:
        """Return the errors of a scenario, one line each, without the folder's name."""
        self.write("s.yaml", text)
        return self.errors_of("s.yaml", **options)

    def errors_of(self, name: str, **options: object) -> list[str]:
        """Return the errors of a file, which may be missing."""
        with pytest.raises(ScenarioErrors) as caught:
            load(self.path / name, **options)  # type: ignore[arg-type]
        return [str(error).replace(f"{self.path}/", "").replace(str(self.path), ".") for error in caught.value.problems]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)
