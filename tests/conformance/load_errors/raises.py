"""Lists every `raise` and `assert` of a vLLM release that a load of an adapter can reach.

python -m tests.conformance.load_errors.raises VERSION SOURCE   (a folder that has `vllm/`, such as site-packages)

Calls are followed by name from `load_lora_adapter`, through the modules in `_SCOPE` and no further, so the list has a
few entries too many rather than one too few. An f-string's values stand as `{}`. Errors of Python, torch and
safetensors are not in it: the recordings have those.
"""

import ast
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from tests.conformance.recording_files import refusals

FOLDER = Path(__file__).parent / "raises"

_ROOTS = ("load_lora_adapter", "add_lora", "add_lora_async")
_SCOPE: dict[str, frozenset[str]] = {
    "vllm/entrypoints/openai/models/serving.py": frozenset(),
    "vllm/entrypoints/openai/serving_models.py": frozenset(),
    "vllm/lora/*.py": frozenset(),
    "vllm/lora/layers/*.py": frozenset(),
    "vllm/v1/engine/core_client.py": frozenset(
        {"add_lora_async", "call_utility_async", "_call_utility_async", "ensure_alive"}
    ),
    "vllm/v1/executor/abstract.py": frozenset(),
    "vllm/v1/executor/multiproc_executor.py": frozenset({"collective_rpc", "get_response"}),
    "vllm/v1/worker/lora_model_runner_mixin.py": frozenset(),
}
"""Files of all releases, each with the functions that count; none named: all. Other files pass a load on."""
_NOT_OF_A_LOAD = frozenset({"get", "pop", "keys", "items", "values", "append", "update", "apply", "forward"})
"""Names that containers and layers share; following them would lead everywhere."""


@dataclass(frozen=True, slots=True)
class Raise:
    """One statement: where it stands, what it raises, and its text."""

    where: str
    """`file:function`, the file relative to `vllm/`."""
    exception: str
    text: str
    """The message, with `{}` for each value; empty for an `assert` without one."""


@dataclass(frozen=True, slots=True)
class _Function:
    where: str
    node: ast.FunctionDef | ast.AsyncFunctionDef


def raises(source: Path) -> list[Raise]:
    """Return the statements that a load can reach, in order of file and line.

    Raises:
        FileNotFoundError: if `source` has no `vllm/`.
    """
    if not (source / "vllm").is_dir():
        raise FileNotFoundError(f"no folder vllm/ in {source}; give a site-packages or an unpacked wheel")
    functions = _functions(source)
    reached = _reachable(functions)
    found = [statement for function in reached for statement in _statements(function)]
    return list(dict.fromkeys(found))


def _functions(source: Path) -> dict[str, list[_Function]]:
    """Return the functions of the scope by name; a class stands for what its construction runs."""
    by_name: dict[str, list[_Function]] = defaultdict(list)
    for pattern, chosen in _SCOPE.items():
        for file in sorted(source.glob(pattern)):
            place = file.relative_to(source / "vllm").as_posix()
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    if node.name != "__init__" and (not chosen or node.name in chosen):
                        by_name[node.name].append(_Function(f"{place}:{node.name}", node))
                elif isinstance(node, ast.ClassDef) and not chosen:
                    by_name[node.name] += _constructors(node, place)
    return by_name


def _constructors(node: ast.ClassDef, place: str) -> list[_Function]:
    methods = [method for method in node.body if isinstance(method, ast.FunctionDef)]
    called = [method for method in methods if method.name in ("__init__", "__post_init__")]
    return [_Function(f"{place}:{node.name}.{method.name}", method) for method in called]


def _reachable(functions: dict[str, list[_Function]]) -> list[_Function]:
    properties = {name for name, found in functions.items() if any(_is_property(one.node) for one in found)}
    seen, waiting = dict.fromkeys(_ROOTS), list(_ROOTS)
    while waiting:
        for function in functions.get(waiting.pop(), ()):
            for name in _used(function, properties):
                if name in functions and name not in seen and name not in _NOT_OF_A_LOAD:
                    seen[name] = None
                    waiting.append(name)
    reached = (function for name in seen for function in functions.get(name, ()))
    return sorted(reached, key=lambda function: (function.where.split(":")[0], function.node.lineno))


def _is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(name, ast.Name) and name.id.endswith("property") for name in node.decorator_list)


def _used(function: _Function, properties: set[str]) -> Iterator[str]:
    """Yield the names of functions that a function calls, and of properties that it reads; `cls` is its class."""
    for node in ast.walk(function.node):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name):
                yield _CONSTRUCTED_BY.get(function.where.split(":")[0], "") if called.id == "cls" else called.id
            elif isinstance(called, ast.Attribute):
                yield called.attr
        elif isinstance(node, ast.Attribute) and node.attr in properties:
            yield node.attr


_CONSTRUCTED_BY = {
    "lora/peft_helper.py": "PEFTHelper",
    "lora/lora_model.py": "LoRAModel",
    "lora/models.py": "LoRAModel",
}
"""Class that a class method of a file constructs as `cls(...)`."""


def _statements(function: _Function) -> Iterator[Raise]:
    texts = _collected_texts(function.node)
    for node in ast.walk(function.node):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            name = ast.unparse(node.exc.func)
            text = _text(node.exc.args[0]) if node.exc.args else ""
            if text.strip("{} ") or not texts:
                yield Raise(function.where, name, text)
        elif isinstance(node, ast.Assert):
            yield Raise(function.where, "AssertionError", _text(node.msg) if node.msg else "")
    yield from (Raise(function.where, "collected", text) for text in texts)


def _collected_texts(node: ast.AST) -> list[str]:
    """Return the texts that are appended to a list of messages and raised together (`PEFTHelper`)."""
    calls = [inner for inner in ast.walk(node) if isinstance(inner, ast.Call)]
    return [
        _text(call.args[0])
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "append" and "error" in ast.unparse(call.func)
    ]


def _text(node: ast.expr) -> str:
    """Return the message that an expression makes."""
    match node:
        case ast.Constant(value=str() as value):
            return value
        case ast.JoinedStr(values=values):
            return "".join(value.value if isinstance(value, ast.Constant) else "{}" for value in values)  # type: ignore[misc]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left) + _text(right)
        case ast.Call(func=ast.Attribute(value=value, attr="format")):
            return _text(value)
    return "{}"


def write(version: str, source: Path) -> Path:
    """Write the list of one release and return its path."""
    lines = [json.dumps(asdict(statement)) for statement in raises(source)]
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"vllm-{version}.json"
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    return path


def read(path: Path) -> list[Raise]:
    """Return the list that `write` has written.

    Raises:
        RecordingError: if the file is missing or damaged.
    """
    with refusals(path, "python -m tests.conformance.load_errors.raises"):
        statements = msgspec.json.decode(path.read_bytes(), type=list[Raise])
        if not statements:
            raise ValueError("it is empty")
    return statements


def main() -> int:
    if len(sys.argv) != 3:
        print(
            "usage: python -m tests.conformance.load_errors.raises VERSION SOURCE, such as 0.32.0 site-packages",
            file=sys.stderr,
        )
        return 2
    print(write(sys.argv[1], Path(sys.argv[2])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
