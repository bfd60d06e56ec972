"""Small simulations with users' requests, for the weights behind their answers; not a test."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.mutants.judging import run_world
from tests.twin.worlds import MODEL, adapters, deployment
from twin.trace.lines import AnswerLine, EventLine, Line

_CHANGED = {"at": "3m", "of": "ModelAdapter/a-0", "patch": {"spec": {"artifactURL": "huggingface://acme/second"}}}
_TRAFFIC = {"rate": "2/s", "from": "1m", "until": "6m", "prompt_tokens": 64, "output_tokens": 8}


def changed_artifact(folder: Path, **engine: Any) -> tuple[list[Line], str]:
    """Give an adapter another artifact while users ask for it; return the trace and the first violation."""
    return run_world(folder, objects=[deployment(3, **engine)], **_SECTIONS)


_SECTIONS: Mapping[str, Any] = {
    "adapters": [adapters(1, arrive={"at": "20s"})],
    "edits": [_CHANGED],
    "traffic": _TRAFFIC,
    "duration": "8m",
}


def mixed(lines: list[Line]) -> list[AnswerLine]:
    """Return the answers that were computed with other weights' blocks."""
    return [ln for ln in lines if isinstance(ln, AnswerLine) and ln.prefix_weights not in ("", ln.weights)]


def warned(lines: list[Line]) -> list[EventLine]:
    return [line for line in lines if isinstance(line, EventLine) and line.reason == "StalePrefixCache"]


def _separate(folder: Path) -> str:
    """A release that tells artifacts apart by their path: no mixed answer, no warning."""
    lines, wrong = changed_artifact(folder, image="vllm/vllm-openai:v0.32.0")
    return wrong or _unexpected(lines)


def _reset(folder: Path) -> str:
    """A release that does not, in development mode: the cache is reset."""
    lines, wrong = changed_artifact(folder, env={"VLLM_SERVER_DEV_MODE": "1"})
    return wrong or _unexpected(lines)


def _shared(folder: Path) -> str:
    """A release that does not: users are warned of mixed answers."""
    lines, wrong = changed_artifact(folder)
    return wrong or ("" if warned(lines) and mixed(lines) else "no answer is mixed, or there is no warning")


def _uncached(folder: Path) -> str:
    """Engines without a prefix cache: no mixed answer, no warning."""
    engines = deployment(3)
    engines["spec"]["template"]["spec"]["containers"][0]["command"].append("--no-enable-prefix-caching")
    lines, wrong = run_world(folder, objects=[engines], **_SECTIONS)
    return wrong or _unexpected(lines)


def _sglang(folder: Path) -> str:
    """SGLang, whose prefixes belong to a load: no mixed answer, no warning."""
    engines = deployment(3)
    pod = engines["spec"]["template"]
    labels = {**pod["metadata"]["labels"], "model.aibrix.ai/engine": "sglang"}
    pod["metadata"] = {"labels": labels}
    container = pod["spec"]["containers"][0]
    command = ["python3", "-m", "sglang.launch_server", "--model-path", "Qwen/Qwen", "--served-model-name", MODEL]
    flags = ["--enable-lora", "--max-lora-rank", "64", "--lora-target-modules", "all", "--port", "8000"]
    pod["spec"]["containers"] = [container | {"command": command, "args": flags, "env": []}]
    lines, wrong = run_world(folder, objects=[engines], **_SECTIONS)
    return wrong or _unexpected(lines)


def _unexpected(lines: list[Line]) -> str:
    count, events = len(mixed(lines)), len(warned(lines))
    answers = {line.weights for line in lines if isinstance(line, AnswerLine)}
    if len(answers) != 2:
        return f"answers come from {sorted(answers)}, not from two artifacts"
    return f"{count} mixed answers, {events} warnings" if count or events else ""


WEIGHT_WORLDS: dict[str, Callable[[Path], str]] = {
    "another artifact, keyed by path": _separate,
    "another artifact, cache reset": _reset,
    "another artifact, keyed by name": _shared,
    "another artifact, not cached": _uncached,
    "another artifact, SGLang": _sglang,
}
