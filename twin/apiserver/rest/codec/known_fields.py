"""Which fields builtin kinds have: what a real server drops and warns of, or refuses if it is asked to be strict.

The fields are those of `protobuf.txt`, which is made from Kubernetes' own sources.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from twin.apiserver.meta.errors import ApiError, Object
from twin.apiserver.rest.codec import protobuf


class _Field(NamedTuple):
    message: str
    """Empty if whatever is there is not looked into."""
    container: str


def drop_unknown_fields(api_version: str, kind: str, obj: Mapping[str, Any], unknown: list[str]) -> Object:
    """An object (or a patch of one) without the fields that its kind does not have; their paths go to `unknown`."""
    try:
        root = protobuf.root(api_version, kind)
    except ApiError:
        return dict(obj)
    identity = {name: obj[name] for name in ("apiVersion", "kind") if name in obj}
    rest = {name: value for name, value in obj.items() if name not in identity}
    return {**identity, **_known(root, "", rest, "", unknown)}


def _known(message: str, container: str, value: Any, path: str, unknown: list[str]) -> Any:
    """What of a field's value is known; what is of another form than it should be is somebody else's to refuse."""
    if container == "[" and isinstance(value, list):
        return [_known(message, "", each, f"{path}[{at}]", unknown) for at, each in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if container == "{":
        return {name: _known(message, "", each, f"{path}.{name}", unknown) for name, each in value.items()}
    kept, fields = {}, _fields(message)
    for name, each in value.items():
        here = f"{path}.{name}" if path else name
        field = fields.get(name)
        if field is not None and field.message:
            kept[name] = _known(field.message, field.container, each, here, unknown)
        elif field is not None or name.startswith("$"):  # a word of a strategic merge patch
            kept[name] = each
        else:
            unknown.append(here)
    return kept


@cache
def _fields(message: str) -> Mapping[str, _Field]:
    found: dict[str, _Field] = {}
    for field in protobuf.messages()[message].values():
        if field.inline:
            found |= _fields(field.kind)
        else:
            deeper = "" if len(field.kind) == 1 or field.kind in protobuf.SPECIAL else field.kind
            found[field.name] = _Field(deeper, field.container)
    return found
