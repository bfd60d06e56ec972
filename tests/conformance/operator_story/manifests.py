"""Manifests of the story: pods of two base models, and adapters for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Manifest = dict[str, Any]

NODE = "processes"
"""Name of the node; `twin node` gives it to the one whose containers are processes."""
PORT = 8000
BASE = "base"
PLAIN = "plain"
"""Base model whose engine is started without `--enable-lora`."""
_ENABLED = "adapter.model.aibrix.ai/enabled"
_NAME = "model.aibrix.ai/name"
_LORA_FLAGS = ("--enable-lora", "--max-loras", "2", "--max-cpu-loras", "2", "--max-lora-rank", "16")
_LENGTH_FLAGS = ("--max-model-len", "512")


@dataclass(frozen=True, slots=True)
class EngineProgram:
    """Command, flags and environment of an engine.

    Attributes:
        version: its release, in the image's tag.
        command: what starts it, the model included.
        flags: more of its flags, for where it runs.
        environment: variables for where it runs.
    """

    version: str
    command: Sequence[str]
    flags: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def pod(self, name: str, model: str = BASE, *, development: bool = False) -> Manifest:
        """Return a pod that serves `model`; one in development mode can reset its prefix cache."""
        flags = (*_LENGTH_FLAGS, *(_LORA_FLAGS if model == BASE else ()), *self.flags)
        place = ("--served-model-name", model, "--host", "$(POD_IP)", "--port", str(PORT))
        variables = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", **self.environment}
        if development:
            variables["VLLM_SERVER_DEV_MODE"] = "1"
        address = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
        container = {
            "name": "vllm",
            "image": f"vllm/vllm-openai:v{self.version}",
            "command": [*self.command, *place, *flags],
            "env": [address, *({"name": key, "value": value} for key, value in variables.items())],
            "readinessProbe": {
                "httpGet": {"path": "/health", "port": PORT},
                "periodSeconds": 1,
                "failureThreshold": 1,
            },
        }
        meta = {"name": name, "namespace": "default", "labels": {_NAME: model, _ENABLED: "true"}}
        spec = {"nodeName": NODE, "terminationGracePeriodSeconds": 5, "containers": [container]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def adapter(name: str, artifact: str, replicas: int, model: str = BASE) -> Manifest:
    """Return a ModelAdapter; `artifact` is a path on the pods."""
    spec = {
        "baseModel": model,
        "podSelector": {"matchLabels": {_NAME: model}},
        "artifactURL": artifact,
        "replicas": replicas,
    }
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "model.aibrix.ai/v1alpha1", "kind": "ModelAdapter", "metadata": meta, "spec": spec}
