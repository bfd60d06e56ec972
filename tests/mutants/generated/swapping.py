"""Puts a mistake into the running process: the code of one function is replaced in place; not a test.

Every module that has imported the function has the mistake at once, which takes milliseconds instead of an import.
"""

import importlib
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

from tests.mutants.applying import ROOT
from tests.mutants.generated.operators import Mutation
from tests.mutants.generated.sample import source_of


def swap(mutation: Mutation) -> None:
    """Replace the code of the mutation's function.

    Raises:
        SyntaxError: the mistake is no Python.
        LookupError: the function is not found, in the source or in the module.
    """
    path = ROOT / "controller" / mutation.file
    mutated = compile(mutation.apply(source_of(mutation.file)), str(path), "exec")
    code = next((item for item in _codes(mutated) if item.co_qualname == mutation.function), None)  # type: ignore[attr-defined]
    module = importlib.import_module("controller." + mutation.file.removesuffix(".py").replace("/", "."))
    functions = list(_functions(module, mutation.function))
    if code is None or not functions:
        raise LookupError(f"controller/{mutation.file} has no function {mutation.function}")
    for function in functions:
        function.__code__ = code


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def _functions(module: Any, name: str) -> Iterator[FunctionType]:
    """Yield the function, below its decorators."""
    *classes, last = name.split(".")
    owner = module
    for part in classes:
        owner = getattr(owner, part)
    found = vars(owner).get(last)
    for wrapped in (
        found,
        getattr(found, "fget", None),
        getattr(found, "func", None),
        getattr(found, "__func__", None),
    ):
        current = wrapped
        while current is not None:
            if isinstance(current, FunctionType) and current.__qualname__ == name and not _is_wrapper(current):
                yield current
            current = getattr(current, "__wrapped__", None)


def _is_wrapper(function: FunctionType) -> bool:
    return hasattr(function, "__wrapped__")
