"""JSON merge patch (RFC 7386) and JSON patch (RFC 6902) on values that are never mutated.

Only the containers on the path to a change are copied; the rest is shared with the old value. A patch that changes
nothing returns the same object, so that an identity test shows whether anything changed.
"""

from typing import Any

from twin.apiserver.meta.errors import ApiError, Object, bad_request

_ABSENT: Any = object()


def json_equal(left: Any, right: Any) -> bool:
    """Return whether two JSON values are equal; unlike `==`, `true` is not `1` (at the top level only)."""
    return left is right or (type(left) is type(right) and bool(left == right))


def merge(target: Any, patch: Any) -> Any:
    """Return `target` after an RFC 7386 merge patch: `None` deletes a key, objects are merged, other values are set."""
    if type(patch) is not dict:
        if type(patch) is type(target) is list:
            return _share_elements(target, patch)
        return target if json_equal(target, patch) else patch
    base: Object = target if type(target) is dict else {}
    merged: Object | None = None
    for key, value in patch.items():
        before = base.get(key, _ABSENT)
        if value is None:
            if before is not _ABSENT:
                merged = dict(base) if merged is None else merged
                del merged[key]
            continue
        after = merge(before, value)
        if after is not before:
            merged = dict(base) if merged is None else merged
            merged[key] = after
    if merged is not None:
        return merged
    return base if base is target else {}


def _share_elements(old: list[Any], new: list[Any]) -> list[Any]:
    """Return `new` with the elements of `old` that stand unchanged at the same place: they are not checked again."""
    if is_identical(old, new):
        return old
    kept = [before if is_identical(before, after) else after for before, after in zip(old, new, strict=False)]
    return kept + new[len(old) :]


def is_identical(left: Any, right: Any) -> bool:
    """Return whether two JSON values are equal at every level, where `true` is not `1` and `1` is not `1.0`."""
    if left is right:
        return True
    if type(left) is not type(right) or left != right:
        return False
    if type(left) is dict:
        return all(is_identical(value, right[key]) for key, value in left.items())
    return type(left) is not list or all(map(is_identical, left, right))


def json_patch(target: Any, operations: Any) -> Any:
    """Return `target` after an RFC 6902 patch.

    Raises:
        ApiError: 400 if the patch is malformed, 422 if it does not fit the object or a `test` fails.
    """
    if not isinstance(operations, list):
        raise bad_request("a JSON patch is a list of operations")
    for operation in operations:
        target = _apply_operation(target, operation)
    return target


def _apply_operation(target: Any, operation: Any) -> Any:
    if not isinstance(operation, dict) or "op" not in operation or "path" not in operation:
        raise bad_request(f"a JSON patch operation needs op and path: {operation!r}")
    path = _pointer(operation["path"])
    match operation["op"]:
        case "add":
            return _put(target, path, _value(operation), insert=True)
        case "replace":
            return _put(target, path, _value(operation), insert=False)
        case "remove":
            return _remove(target, path)
        case "test":
            if not json_equal(_resolve(target, path), _value(operation)):
                raise _unprocessable(f"testing path {operation['path']} failed: the value differs")
            return target
        case "copy":
            return _put(target, path, _resolve(target, _pointer(operation.get("from", ""))), insert=True)
        case "move":
            source = _pointer(operation.get("from", ""))
            moved = _resolve(target, source)
            return _put(_remove(target, source), path, moved, insert=True)
        case other:
            raise bad_request(f"Unexpected kind: {other}; supported: add, remove, replace, move, copy, test")


def _unprocessable(message: str) -> ApiError:
    return ApiError(422, "Invalid", f"the server rejected our request due to an error in our request: {message}")


def _value(operation: Object) -> Any:
    if "value" not in operation:
        raise bad_request(f"JSON patch operation {operation['op']} of {operation['path']} has no value")
    return operation["value"]


def _pointer(text: Any) -> tuple[str, ...]:
    if not isinstance(text, str):
        raise bad_request("a JSON pointer is a string")
    if text == "":
        return ()
    if not text.startswith("/"):
        raise bad_request(f"a JSON pointer starts with a slash: {text!r}")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/"))


def _index(items: list[Any], part: str, *, end: bool) -> int:
    if part == "-" and end:
        return len(items)
    if not part.isascii() or not part.isdigit() or int(part) > len(items) - (0 if end else 1):
        raise _unprocessable(f"invalid index referenced: {part} in a list of {len(items)}")
    return int(part)


def _resolve(target: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        if isinstance(target, list):
            target = target[_index(target, part, end=False)]
        elif isinstance(target, dict) and part in target:
            target = target[part]
        else:
            raise _unprocessable(f"missing path: {'/'.join(path)}")
    return target


def _put(target: Any, path: tuple[str, ...], value: Any, *, insert: bool) -> Any:
    """Return `target` with `value` at `path`; in a list the value is inserted or replaces an element."""
    if not path:
        return value
    part, rest = path[0], path[1:]
    if isinstance(target, list):
        copied = list(target)
        if rest or not insert:
            index = _index(target, part, end=False)
            copied[index] = _put(target[index], rest, value, insert=insert)
        else:
            copied.insert(_index(target, part, end=True), value)
        return copied
    if not isinstance(target, dict) or (part not in target and (rest or not insert)):
        raise _unprocessable(f"missing path: {part}")
    return {**target, part: _put(target[part], rest, value, insert=insert) if rest else value}


def _remove(target: Any, path: tuple[str, ...]) -> Any:
    if not path:
        return None
    part, rest = path[0], path[1:]
    _resolve(target, path)
    if isinstance(target, list):
        index = _index(target, part, end=False)
        return [*target[:index], *([_remove(target[index], rest)] if rest else []), *target[index + 1 :]]
    if rest:
        return {**target, part: _remove(target[part], rest)}
    return {key: value for key, value in target.items() if key != part}
