"""Small scenarios for tests; not a test."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from twin.scenario import Scenario, load

MODEL = "qwen"
SELECTOR = {"matchLabels": {"model.aibrix.ai/name": MODEL, "adapter.model.aibrix.ai/enabled": "true"}}


def deployment(
    replicas: int = 3,
    *,
    key: str = "",
    image: str = "vllm/vllm-openai:v0.24.0",
    env: Mapping[str, str] | None = None,
    flags: Sequence[str] = (),
) -> dict[str, Any]:
    """Return a Deployment of engines that start in two seconds and are probed every two."""
    variables = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", **(env or {})}
    probe = {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 2, "failureThreshold": 1}
    command = ["vllm", "serve", "Qwen/Qwen", "--served-model-name", MODEL, "--enable-lora", "--max-cpu-loras", "16"]
    container = {
        "name": "vllm-openai",
        "image": image,
        "command": [*command, *(["--api-key", key] if key else []), *flags],
        "env": [{"name": name, "value": value} for name, value in variables.items()],
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
        "readinessProbe": probe,
    }
    labels = SELECTOR["matchLabels"]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": MODEL, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def adapters(count: int = 4, *, replicas: int | None = 2, **others: Any) -> dict[str, Any]:
    """Return a template for adapters that exist from the start."""
    spec = {"baseModel": MODEL, "podSelector": SELECTOR, "artifactURL": "huggingface://acme/a-{i}"}
    if replicas is not None:
        spec["replicas"] = replicas
    return {"name": "a-{i}", "count": count, "spec": spec | others.pop("spec", {}), **others}


def a_scenario(folder: Path, *, pods: int = 3, key: str = "", **sections: Any) -> Scenario:
    """Return a scenario of ten minutes with one Deployment; `sections` are those of the file.

    Secrets that are not in it do not exist.
    """
    engine = {"startup": "2s", "load": {"lognormal": {"median": "500ms", "p95": "1s"}}}
    body: Mapping[str, Any] = {
        "name": "test",
        "duration": "10m",
        "objects": [deployment(pods, key=key)],
        "cluster": {"engines": {"default": engine}, "artifacts": {"bandwidth": "10Gbit/s"}},
        "adapters": [adapters()],
    } | sections
    body = {**body, "cluster": {"missing_secrets": "absent", **body["cluster"]}}
    file = folder / "scenario.yaml"
    with file.open("w", encoding="utf-8") as out:
        YAML(typ="safe", pure=True).dump(dict(body), out)
    return load(file)
