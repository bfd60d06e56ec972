"""Arithmetic expansions of a POSIX shell, `$((…))`: whole numbers, variables, `+ - * / %` and parentheses.

Source: POSIX.1-2017, Shell Command Language, 2.6.4. Scripts of multi-node engines compute ranks this way.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping

_NAME = re.compile(r"[A-Za-z_]\w*")
_OPERATORS: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda a, b: int(a / b),
    ast.Mod: lambda a, b: a - b * int(a / b),
}
_LONGEST = 200  # characters


def arithmetic_value(expression: str, env: Mapping[str, str]) -> int | None:
    """Return the value of an expression whose `$NAME` are replaced already; None if it is not of this form.

    A variable without a value counts as 0.
    """
    text = _NAME.sub(lambda match: env.get(match[0]) or "0", expression)
    if len(text) > _LONGEST:
        return None
    try:
        return _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, OverflowError):
        return None


def _value(node: ast.expr) -> int:
    match node:
        case ast.Constant(value=int() as number):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left), _value(right))
    raise ValueError("not arithmetic")
