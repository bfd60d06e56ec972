"""What a pod's manifest says about its engine: which container it is, how it is started, what its environment is."""

import base64
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from controller.api.labels import ENGINE_LABEL
from fake_vllm.engine.versions import DEFAULT_VERSION, Behaviour
from twin.apiserver import ApiError
from twin.apiserver.meta.objects import Object

_OPERATOR = "lora-controller"


class ConfigMissing(Exception):
    """A container can't be created: a Secret or ConfigMap that it needs is not there."""


def engine_index(containers: list[Object]) -> int:
    """Which container is the engine: the first that has one in its command or image, else the first of all."""
    return next((index for index, container in enumerate(containers) if looks_like_engine(container)), 0)


def looks_like_engine(container: Object) -> bool:
    """Whether its command or image is recognisably vLLM's or SGLang's."""
    words = [*command_of(container), str(container.get("image", ""))]
    return any(engine in word.lower() for word in words for engine in ("vllm", "sglang"))


def is_operator(containers: list[Object]) -> bool:
    """Whether these are an operator's containers, none of which is an engine."""
    return any((each.get("command") or [_image_name(each)])[0] == _OPERATOR for each in containers)


def _image_name(container: Object) -> str:
    """Of the image, without registry and tag."""
    return str(container.get("image", "")).rpartition("/")[2].partition("@")[0].partition(":")[0]


def command_of(container: Object) -> list[str]:
    """Command and arguments in one."""
    return [*(container.get("command") or ()), *(container.get("args") or ())]


def version_of(container: Object) -> str:
    """The engine's version by its image tag; the default where the tag says none."""
    tag = str(container.get("image", "")).rpartition("/")[2].partition("@")[0].partition(":")[2]
    try:
        Behaviour.of(tag)
    except ValueError:
        return DEFAULT_VERSION
    return tag


def dialect_of(container: Object, labels: Mapping[str, str]) -> str:
    """Whose engine runs there, where the command does not say it: SGLang's if its pod's label or its image says so."""
    named = labels.get(ENGINE_LABEL, "") or str(container.get("image", ""))
    return "sglang" if "sglang" in named.lower() else ""


def port_of(container: Object, port: int | str) -> int:
    """A probe's port as a number; 0 for a name that the container does not declare."""
    if isinstance(port, int) or port.isdecimal():
        return int(port)
    for declared in container.get("ports") or ():
        if declared.get("name") == port:
            return int(declared["containerPort"])
    return 0


class ConfigSource(Protocol):
    """Where Secrets and ConfigMaps are found: the store, or who has asked an API for them."""

    def get(self, resource: str, namespace: str, name: str) -> Object:
        """Raises `ApiError` 404 if there is none."""
        ...


def environment(store: ConfigSource, namespace: str, container: Object) -> Mapping[str, str]:
    """A container's environment; Secrets and ConfigMaps are looked up, fields of the pod left out.

    Raises:
        ConfigMissing: in kubelet's words.
    """
    result: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        for resource, reference in (("secrets", source.get("secretRef")), ("configmaps", source.get("configMapRef"))):
            if reference:
                values = _values(store, resource, namespace, reference) or {}
                result.update({source.get("prefix", "") + name: value for name, value in values.items()})
    for variable in container.get("env") or ():
        origin = variable.get("valueFrom") or {}
        if not origin:
            result[variable["name"]] = str(variable.get("value", ""))
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
    raise ConfigMissing(f"couldn't find key {reference['key']} in {_WORD[resource]} {namespace}/{reference['name']}")


def _values(store: ConfigSource, resource: str, namespace: str, reference: Object) -> dict[str, str] | None:
    """The data of a Secret or ConfigMap; None if it is optional and not there."""
    try:
        data = store.get(resource, namespace, reference["name"]).get("data") or {}
    except ApiError as error:
        if error.code != 404:
            raise
        if reference.get("optional"):
            return None
        raise ConfigMissing(f'{_WORD[resource].lower()} "{reference["name"]}" not found') from error
    decode = _DECODERS[resource]
    return {name: decode(value) for name, value in data.items()}


def _decoded(value: Any) -> str:
    return base64.b64decode(value).decode(errors="replace")


_WORD = {"secrets": "Secret", "configmaps": "ConfigMap"}
_DECODERS: Mapping[str, Callable[[Any], str]] = {"secrets": _decoded, "configmaps": str}
