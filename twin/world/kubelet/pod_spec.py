"""Reads a pod's manifest: which container is the engine, how it is started, and its environment."""

import base64
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from controller.api.labels import ENGINE_LABEL
from fake_vllm.cli import command_line
from fake_vllm.engine.config import EngineConfigError
from fake_vllm.engine.versions import DEFAULT_VERSION
from formats.engine_command import EngineCommand, expand_variables, read_command
from formats.engine_container import RUNTIME_SIDECAR, ContainerFacts, engine_container, is_accelerator
from formats.engine_releases import version_of_image
from formats.errors import FormatError
from twin.apiserver import ApiError
from twin.apiserver.meta.objects import Object

_OPERATOR = "lora-controller"
_ENGINES = ("vllm", "sglang")
_PROJECT = "vllm-project/"  # organisation that also has images of other programs
_HELPERS = ("DaemonSet", "Job", "RoleSet", "StormService")
"""Kinds whose pods are engines only if they name one: others install, collect, fetch or route something."""
_ENGINE_LABELS = ("model.aibrix.ai/", "adapter.model.aibrix.ai/")
"""Prefixes of labels that only pods with engines have."""
_WORKER_INDEX, _RAY_NODE = "leaderworkerset.sigs.k8s.io/worker-index", "ray.io/node-type"
GROUP_INDEX = "stormservice.orchestration.aibrix.ai/pod-group-index"


class ConfigMissing(Exception):
    """A container cannot be created because a Secret or ConfigMap is missing."""


def _resource_names(resources: object) -> list[str]:
    """Return the names of requests and limits; none of a value that is no mapping, which is an error of its own."""
    kinds = resources.values() if isinstance(resources, dict) else ()
    return [str(name) for kind in kinds if isinstance(kind, dict) for name in kind]


def engine_of(meta: Object, spec: Object) -> str:
    """Return the name of the engine's container, as the operator finds it; `meta` and `spec` are a pod's or template's.

    Empty if the runtime sidecar is the only one, or if the pod's label names a container that it does not have.
    """
    facts = [
        ContainerFacts(
            name=str(container.get("name", "")),
            command=[str(word) for word in command_of(container)],
            image=str(container.get("image", "")),
            ports=[int(port.get("containerPort", 0)) for port in container.get("ports") or ()],
            resources=_resource_names(container.get("resources")),
        )
        for container in spec.get("containers") or ()
    ]
    try:
        return engine_container(facts, meta.get("labels") or {}, meta.get("annotations") or {})
    except FormatError:
        return ""


def in_start_order(spec: Object) -> list[Object]:
    """Return all containers: init containers and native sidecars in their order, then the pod's own."""
    return [*(spec.get("initContainers") or ()), *spec["containers"]]


def long_running(spec: Object) -> list[Object]:
    """Return the containers that run as long as the pod: native sidecars, then the pod's own."""
    return [*native_sidecars(spec), *spec["containers"]]


def native_sidecars(spec: Object) -> list[Object]:
    """Return the init containers that keep running (`restartPolicy: Always`; Kubernetes 1.29 and later)."""
    return [container for container in spec.get("initContainers") or () if container.get("restartPolicy") == "Always"]


def has_runtime_sidecar(spec: Object) -> bool:
    """Return whether the runtime sidecar is among the containers."""
    return any(container.get("name") == RUNTIME_SIDECAR for container in long_running(spec))


def looks_like_engine(container: Object) -> bool:
    """Return True if the image or the program names vLLM or SGLang; arguments such as a router's do not count."""
    command = command_of(container)
    program = [str(word) for word in command[: next((i for i, word in enumerate(command) if word[:1] == "-"), None)]]
    words = (*program, str(container.get("image", "")).replace(_PROJECT, ""))
    return any(engine in word.lower() for word in words for engine in _ENGINES) or bool(_command(container).flavor)


def serves_api(container: Object) -> bool:
    """Return True if the command starts an engine's API server, which a worker of a group does not (`--headless`)."""
    command = _command(container)
    if not command.flavor or "--headless" in command.args:
        return False
    args = [word for argument in command.args for word in argument.split("=", 1)]
    return "--node-rank" not in args or args[args.index("--node-rank") + 1 :][:1] == ["0"]


def has_engine(meta: Object, spec: Object) -> bool:
    """Return True if an engine runs in a pod."""
    owners = meta.get("ownerReferences") or ()
    kind = next((str(owner["kind"]) for owner in owners if owner.get("controller")), "")
    return runs_engine(kind, meta.get("labels") or {}, spec["containers"])


def runs_engine(kind: str, labels: Mapping[str, str], containers: Sequence[Object]) -> bool:
    """Return True if an engine runs in pods with these labels and containers, which an object of `kind` creates.

    In groups of pods only those are engines that start an API server. Of other pods, those are none that name no
    engine, request no accelerator and have none of the labels that pods with adapters need.
    """
    if is_operator(containers):
        return False
    if labels.get(_WORKER_INDEX, "0") != "0" or labels.get(GROUP_INDEX, "0") != "0" or _RAY_NODE in labels:
        return any(serves_api(container) for container in containers)
    others = [container for container in containers if container.get("name") != RUNTIME_SIDECAR]
    candidates = [container for container in others if not starts_another_program(container)]
    if any(looks_like_engine(container) for container in candidates):
        return True
    if kind in _HELPERS:
        return False
    named = bool(candidates) and any(label.startswith(_ENGINE_LABELS) for label in labels)
    return named or any(_requests_accelerator(container) for container in candidates)


def starts_another_program(container: Object) -> bool:
    """Return True if the command names no engine, and its arguments are none of an engine: `python app.py`."""
    if not container.get("command") or _command(container).flavor:
        return False
    command = [str(word) for word in command_of(container)]
    if any(engine in word.lower() for word in command for engine in _ENGINES):
        return False
    try:
        command_line.read(command, {}, version=version_of(container), dialect="")
    except EngineConfigError:
        return True
    return False


def _command(container: Object) -> EngineCommand:
    try:
        return read_command([str(word) for word in command_of(container)], {})
    except FormatError:
        return EngineCommand("", (), {})


def _requests_accelerator(container: Object) -> bool:
    names = [name for kind in (container.get("resources") or {}).values() for name in kind or ()]
    return any(is_accelerator(name) for name in names)


def is_operator(containers: Sequence[Object]) -> bool:
    """Return True for the containers of an operator, none of which is an engine."""
    return any((item.get("command") or [_image_name(item)])[0] == _OPERATOR for item in containers)


def _image_name(container: Object) -> str:
    """Return the image's name without registry and tag."""
    return str(container.get("image", "")).rpartition("/")[2].partition("@")[0].partition(":")[0]


def command_of(container: Object) -> list[str]:
    """Return command and arguments as one list."""
    return [*(container.get("command") or ()), *(container.get("args") or ())]


def version_of(container: Object) -> str:
    """Return the engine's version from its image tag; the default if the tag is not a version."""
    return version_of_image(str(container.get("image", ""))) or DEFAULT_VERSION


def dialect_of(container: Object, labels: Mapping[str, str]) -> str:
    """Return "sglang" if the pod's label or its image names SGLang, for a command that does not say it."""
    named = labels.get(ENGINE_LABEL, "") or str(container.get("image", ""))
    return "sglang" if "sglang" in named.lower() else ""


def port_of(container: Object, port: int | str) -> int:
    """Return a probe's port as a number; 0 for a name that the container does not declare."""
    if isinstance(port, int) or port.isdecimal():
        return int(port)
    for declared in container.get("ports") or ():
        if declared.get("name") == port:
            return int(declared["containerPort"])
    return 0


class ConfigSource(Protocol):
    """Source of Secrets and ConfigMaps: the store, or objects that were read from an API."""

    def get(self, resource: str, namespace: str, name: str) -> Object:
        """Return an object; raise `ApiError` 404 if it does not exist."""
        ...


def environment(
    store: ConfigSource, namespace: str, container: Object, fields: Mapping[str, str] = MappingProxyType({})
) -> Mapping[str, str]:
    """Return a container's environment; Secrets and ConfigMaps are looked up, `$(NAME)` is expanded.

    `fields` has the values of variables that come from fields of the pod; others of that kind are left out.

    Raises:
        ConfigMissing: an object or key is missing; the message is the kubelet's.
    """
    result: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        for resource, reference in (("secrets", source.get("secretRef")), ("configmaps", source.get("configMapRef"))):
            if reference:
                values = _values(store, resource, namespace, reference) or {}
                result.update({source.get("prefix", "") + name: value for name, value in values.items()})
    for variable in container.get("env") or ():
        origin = variable.get("valueFrom") or {}
        if variable["name"] in fields:
            result[variable["name"]] = fields[variable["name"]]
        if not origin:
            result[variable["name"]] = expand_variables(str(variable.get("value", "")), result)
        for resource, reference in (
            ("secrets", origin.get("secretKeyRef")),
            ("configmaps", origin.get("configMapKeyRef")),
        ):
            if reference:
                value = _value(store, resource, namespace, reference)
                if value is not None:
                    result[variable["name"]] = value
    return result


def _value(store: ConfigSource, resource: str, namespace: str, reference: Object) -> str | None:
    values = _values(store, resource, namespace, reference)
    if values is None or reference["key"] in values:
        return values[reference["key"]] if values else None
    if reference.get("optional"):
        return None
    raise ConfigMissing(f"couldn't find key {reference['key']} in {_KIND[resource]} {namespace}/{reference['name']}")


def _values(store: ConfigSource, resource: str, namespace: str, reference: Object) -> dict[str, str] | None:
    """Return the data of a Secret or ConfigMap; None if it is optional and missing."""
    try:
        data = store.get(resource, namespace, reference["name"]).get("data") or {}
    except ApiError as error:
        if error.code != 404:
            raise
        if reference.get("optional"):
            return None
        raise ConfigMissing(f'{_KIND[resource].lower()} "{reference["name"]}" not found') from error
    decode = _DECODERS[resource]
    return {name: decode(value) for name, value in data.items()}


def _decode(value: Any) -> str:
    return base64.b64decode(value).decode(errors="replace")


_KIND = {"secrets": "Secret", "configmaps": "ConfigMap"}
_DECODERS: Mapping[str, Callable[[Any], str]] = {"secrets": _decode, "configmaps": str}
