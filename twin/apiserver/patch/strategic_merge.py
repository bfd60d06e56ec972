"""Strategic merge patch: a merge patch that merges lists of objects by key.

Source: `k8s.io/apimachinery/pkg/util/strategicpatch`. Directives: `$patch: delete` and `$patch: replace` in objects and
list elements, `$deleteFromPrimitiveList/FIELD`, `$retainKeys`. `$setElementOrder/FIELD`, which kubectl adds, is
accepted and ignored: lists keep their order.
"""

from typing import Any

from twin.apiserver.meta.errors import Object, bad_request
from twin.apiserver.patch.json_patch import json_equal
from twin.apiserver.schema.merge_types import MergeType

_DIRECTIVE = "$patch"
_DELETE_FROM = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"
_RETAIN = "$retainKeys"


def merge(target: Any, patch: Any, merge_type: MergeType) -> Any:
    """Return `target` after a strategic merge patch; `target` itself if nothing changes."""
    if isinstance(patch, dict):
        return _merge_object(target if isinstance(target, dict) else {}, patch, merge_type)
    if isinstance(patch, list) and isinstance(target, list):
        if merge_type.merge_key:
            return _merge_by_key(target, patch, merge_type)
        if merge_type.unique:
            return _or_same(target, target + [item for item in patch if item not in target])
    return _or_same(target, patch)


def _or_same(target: Any, value: Any) -> Any:
    return target if json_equal(target, value) else value


def _merge_object(target: Object, patch: Object, merge_type: MergeType) -> Object:
    if patch.get(_DIRECTIVE) == "replace":
        return {key: value for key, value in patch.items() if key != _DIRECTIVE}
    if patch.get(_DIRECTIVE) == "delete":
        return {}
    merged = dict(target)
    if _RETAIN in patch:
        merged = {key: value for key, value in merged.items() if key in patch[_RETAIN]}
    for key, value in patch.items():
        if key.startswith(_DELETE_FROM):
            field = key.removeprefix(_DELETE_FROM)
            if field in merged:
                merged[field] = [item for item in merged[field] if item not in value]
        elif key.startswith(_ORDER) or key in (_RETAIN, _DIRECTIVE):
            continue
        elif value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value, merge_type.child(key))
    return target if json_equal(merged, target) else merged


def _merge_by_key(target: list[Any], patch: list[Any], merge_type: MergeType) -> list[Any]:
    key = merge_type.merge_key
    if not all(isinstance(item, dict) for item in patch):
        raise bad_request(f"a strategic merge patch of a list by {key} must contain only objects: {patch!r}")
    if any(item.get(_DIRECTIVE) == "replace" for item in patch):
        return [item for item in patch if _DIRECTIVE not in item]
    merged = list(target)
    for item in patch:
        if key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        index = next((index for index, element in enumerate(merged) if element.get(key) == item[key]), None)
        if item.get(_DIRECTIVE) == "delete":
            merged = [element for element in merged if element.get(key) != item[key]]
        elif index is None:
            merged.append(merge(None, item, merge_type.element))
        else:
            merged[index] = merge(merged[index], item, merge_type.element)
    return target if json_equal(target, merged) else merged
