"""Systematic mistakes in Python source: each operator yields replacements of one piece of a function; not a test.

Only bodies of functions are changed. Messages, log lines and metrics are left alone: no simulated world judges them.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

Change = tuple[str, ast.AST, str]
"""Name of the operator, the node that is replaced, and its new text."""

_BOUNDARY = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">"}
_OPPOSITE = {
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.In: "not in",
    ast.NotIn: "in",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.Lt: ">=",
    ast.Gt: "<=",
}
_ARITHMETIC = {ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*"}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
_SYMMETRIC = ("max", "min")
"""Functions whose arguments may be swapped."""
_KEYS = {"uid": "name", "name": "uid"}
"""Fields of an object's metadata that are confused."""
_REPORTS = ("log", "_log", "metrics", "_metrics", "_observer", "warning", "info", "debug", "observe_load")


@dataclass(frozen=True, slots=True)
class Mutation:
    """One mistake in one file."""

    file: str
    """Below `controller/`."""
    line: int
    function: str
    """Qualified name of the outermost function."""
    operator: str
    old: str
    new: str
    start: int
    """First byte of the old text."""

    def apply(self, source: bytes) -> bytes:
        """Return the file with the mistake."""
        return source[: self.start] + self.new.encode() + source[self.start + len(self.old.encode()) :]

    def __str__(self) -> str:
        old, new = (" ".join(text.split())[:70] for text in (self.old, self.new))
        return f"{self.file}:{self.line} {self.function}: {self.operator}: {old} → {new}"


def mutations(file: str, source: bytes) -> list[Mutation]:
    """Return all mistakes that the operators make in a file, in the order of their places."""
    tree = ast.parse(source)
    offsets = [0]
    for text in source.splitlines(keepends=True):
        offsets.append(offsets[-1] + len(text))
    found = []
    for name, function in _functions(tree):
        for operator, node, new in _changes(function):
            start = offsets[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
            end = offsets[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
            old = source[start:end].decode()
            if old != new:
                found.append(Mutation(file, node.lineno, name, operator, old, new, start))  # type: ignore[attr-defined]
    return sorted(set(found), key=lambda item: (item.start, item.operator, item.new))


def _functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Yield the outermost functions and methods with their qualified names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_stub(node):
            yield f"{prefix}{node.name}", node


def _is_stub(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    last = node.body[-1]
    return isinstance(last, ast.Expr) and isinstance(last.value, ast.Constant)


def _changes(function: ast.AST) -> Iterator[Change]:
    returns = ast.unparse(function.returns) if getattr(function, "returns", None) else ""  # type: ignore[attr-defined]
    for statement in function.body:  # type: ignore[attr-defined]
        for node in _judged(statement):
            yield from _of_expression(node)
            yield from _of_statement(node, returns)


def _judged(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and all below it, without what only reports."""
    if not _reports(node):
        yield node
        for child in ast.iter_child_nodes(node):
            yield from _judged(child)


def _reports(node: ast.AST) -> bool:
    """Return whether the node only reports: a log line, a metric, a message."""
    return isinstance(node, ast.Expr) and any(
        getattr(part, "attr", getattr(part, "id", "")) in _REPORTS for part in ast.walk(node)
    )


def _of_expression(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            for name, table in (("boundary", _BOUNDARY), ("comparison", _OPPOSITE)):
                if type(op) in table:
                    yield name, node, f"{_text(left)} {table[type(op)]} {_text(right)}"
        case ast.BoolOp(op=op, values=values):
            word = " or " if isinstance(op, ast.And) else " and "
            yield "and/or", node, f"({word.join(map(_text, values))})"
            kept = " and " if isinstance(op, ast.And) else " or "
            for value in values:
                rest = kept.join(_text(other) for other in values if other is not value)
                yield "dropped condition", node, f"({rest})"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "dropped not", node, _text(operand)
        case ast.IfExp(test=test) | ast.If(test=test):
            yield "condition", test, "True"
            yield "condition", test, "False"
        case ast.comprehension(ifs=ifs):
            for test in ifs:
                yield "dropped filter", test, "True"
        case ast.Constant(value=value) if type(value) in (int, float):
            yield "number", node, repr(value + 1)
        case ast.BinOp(op=op, left=left, right=right) if not isinstance(left, ast.JoinedStr):
            if type(op) in _ARITHMETIC:
                yield "arithmetic", node, f"({_text(left)} {_ARITHMETIC[type(op)]} {_text(right)})"
            if isinstance(op, ast.BitOr | ast.Sub):
                yield "dropped operand", node, f"({_text(left)})"
        case ast.Call():
            yield from _of_call(node)
        case ast.Attribute(value=ast.Attribute(attr="metadata") | ast.Name(id="meta"), attr=attr) if attr in _KEYS:
            yield "wrong key", node, f"{_text(node.value)}.{_KEYS[attr]}"  # type: ignore[attr-defined]


def _of_call(node: ast.Call) -> Iterator[Change]:
    match node:
        case ast.Call(func=ast.Name(id=name) as function) if name in _NAMES:
            yield "wrong function", function, _NAMES[name]
        case ast.Call(func=ast.Name(id="replace") | ast.Attribute(attr="replace"), args=[first], keywords=[_, *_]):
            yield "stale copy", node, _text(first)
        case ast.Call(func=ast.Attribute(value=value, attr="pop"), args=[_, _]):
            arguments = ", ".join(map(_text, node.args))
            yield "stale copy", node, f"{_text(value)}.get({arguments})"
    if isinstance(node.func, ast.Name) and node.func.id in _SYMMETRIC:
        return
    plain = [item for item in node.args if not isinstance(item, ast.Starred)]
    if len(plain) >= 2 and plain[:2] == node.args[:2] and _text(plain[0]) != _text(plain[1]):
        first, second, *rest = map(_text, node.args)
        arguments = ", ".join([second, first, *rest, *(_keyword(item) for item in node.keywords)])
        yield "swapped arguments", node, f"{_text(node.func)}({arguments})"


def _of_statement(node: ast.AST, returns: str) -> Iterator[Change]:
    match node:
        case ast.Expr(value=ast.Await()):
            yield "dropped await", node, "pass"
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.Continue() | ast.Break():
            yield "dropped statement", node, "pass"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]) | ast.AugAssign():
            yield "dropped assignment", node, "pass"
        case ast.Return(value=None):
            yield "dropped return", node, "pass"
        case ast.Return(value=value) if value is not None:
            if returns == "bool":
                yield "return", node, f"return not ({_text(value)})"
            elif returns.endswith("None") and _text(value) != "None":
                yield "return", node, "return None"


def _text(node: ast.AST) -> str:
    text = ast.unparse(node)
    return f"({text})" if isinstance(node, ast.BoolOp | ast.IfExp | ast.BinOp | ast.Compare | ast.Lambda) else text


def _keyword(item: ast.keyword) -> str:
    return f"{item.arg}={_text(item.value)}" if item.arg else f"**{_text(item.value)}"
