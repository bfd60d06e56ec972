"""The docstrings of the fields of a class, which its source has under each field.

Pydantic's `use_attribute_docstrings` reads the same while a class is made, which takes longer than everything else that
`twin check` does; here they are read when a schema or a list is printed.
"""

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cache


@cache
def field_docstrings(cls: type) -> Mapping[str, str]:
    """Return the docstring of each documented field of a class, inherited ones included."""
    documented = dict[str, str]()
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("twin."):
            documented.update(_own_docstrings(base))
    return documented


def _own_docstrings(cls: type) -> Iterator[tuple[str, str]]:
    definition = _classes(cls.__module__)[cls.__qualname__]
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            yield field.target.id, inspect.cleandoc(ast.literal_eval(text.value))


@cache
def _classes(module: str) -> Mapping[str, ast.ClassDef]:
    source = inspect.getsource(sys.modules[module])
    return {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
