"""JSON merge patch (RFC 7386) and JSON patch (RFC 6902) on values that nobody mutates.

Only what lies on the way to a change is copied; the rest is shared with the old value. A patch that changes
nothing returns the very same object, so that "did anything change?" is an identity test.
"""

from typing import Any

from twin.apiserver.meta.errors import ApiError, Object, bad_request

_ABSENT: Any = object()


def json_equal(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal; unlike `==`, `true` is not `1`, at the top of the value at least."""
    return left is right or (type(left) is type(right) and bool(left == right))


def merge(target: Any, patch: Any) -> Any:
    """`target` after an RFC 7386 merge patch: `None` deletes a key, objects are merged, all else is replaced."""
    if type(patch) is not dict:
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


def json_patch(target: Any, operations: Any) -> Any:
    """`target` after an RFC 6902 patch.

    Raises:
        ApiError: 400 if the patch is malformed; 422 if it does not fit the object, or a `test` fails.
    """
    if not isinstance(operations, list):
        raise bad_request("a JSON patch is a list of operations")
    for operation in operations:
        target = _operate(target, operation)
    return target


def _operate(target: Any, operation: Any) -> Any:
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
            if not json_equal(_look(target, path), _value(operation)):
                raise _unfit(f"testing path {operation['path']} failed: the value differs")
            return target
        case "copy":
            return _put(target, path, _look(target, _pointer(operation.get("from", ""))), insert=True)
        case "move":
            source = _pointer(operation.get("from", ""))
            moved = _look(target, source)
            return _put(_remove(target, source), path, moved, insert=True)
        case other:
            raise bad_request(f"Unexpected kind: {other}; a JSON patch knows add, remove, replace, move, copy, test")


def _unfit(message: str) -> ApiError:
    return ApiError(422, "Invalid", f"the server rejected our request due to an error in our request: {message}")


def _value(operation: Object) -> Any:
    if "value" not in operation:
        raise bad_request(f"JSON patch operation {operation['op']} of {operation['path']} has no value")
    return operation["value"]


def _pointer(text: str) -> tuple[str, ...]:
    if text == "":
        return ()
    if not text.startswith("/"):
        raise bad_request(f"a JSON pointer starts with a slash: {text!r}")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/"))


def _index(items: list[Any], part: str, *, end: bool) -> int:
    if part == "-" and end:
        return len(items)
    if not part.isascii() or not part.isdigit() or int(part) > len(items) - (0 if end else 1):
        raise _unfit(f"invalid index referenced: {part} in a list of {len(items)}")
    return int(part)


def _look(target: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        if isinstance(target, list):
            target = target[_index(target, part, end=False)]
        elif isinstance(target, dict) and part in target:
            target = target[part]
        else:
            raise _unfit(f"missing path: {'/'.join(path)}")
    return target


def _put(target: Any, path: tuple[str, ...], value: Any, *, insert: bool) -> Any:
    """`target` with `value` at `path`; in a list it is inserted or takes the place of what is there."""
    if not path:
        return value
    part, rest = path[0], path[1:]
    if isinstance(target, list):
        copied = list(target)
        if rest or not insert:
            at = _index(target, part, end=False)
            copied[at] = _put(target[at], rest, value, insert=insert)
        else:
            copied.insert(_index(target, part, end=True), value)
        return copied
    if not isinstance(target, dict) or (part not in target and (rest or not insert)):
        raise _unfit(f"missing path: {part}")
    return {**target, part: _put(target[part], rest, value, insert=insert) if rest else value}


def _remove(target: Any, path: tuple[str, ...]) -> Any:
    if not path:
        return None
    part, rest = path[0], path[1:]
    _look(target, path)
    if isinstance(target, list):
        at = _index(target, part, end=False)
        return [*target[:at], *([_remove(target[at], rest)] if rest else []), *target[at + 1 :]]
    if rest:
        return {**target, part: _remove(target[part], rest)}
    return {key: value for key, value in target.items() if key != part}
