"""`$early`, `$(1 - early)`: knobs and vars, and arithmetic over them with + - * / ( ) only, never `eval`."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
REFERENCE: Final = re.compile(rf"\$({NAME.pattern})")
FORMULA: Final = re.compile(r"\$\((.*)\)", re.DOTALL)
# Python's parser recurses: a formula this short cannot exhaust the stack.
_LONGEST_FORMULA: Final = 200

_BINARY: Final[Mapping[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_UNARY: Final[Mapping[type[ast.unaryop], Callable[[float], float]]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}

Number = int | float


@dataclass(frozen=True)
class Ref:
    """`$NAME`, where NAME is a knob."""

    name: str

    @property
    def names(self) -> frozenset[str]:
        return frozenset({self.name})

    def evaluate(self, knobs: Mapping[str, Number | str]) -> Number | str:
        """The knob's value (KeyError if it has none)."""
        return knobs[self.name]

    def __str__(self) -> str:
        return f"${self.name}"


@dataclass(frozen=True)
class Expression:
    """`$(text)`: arithmetic over knobs. Made by `parse`, which has checked every node."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Expression:
        """The expression, or ValueError with the reason when it is more than arithmetic over numbers and names."""
        if len(text) > _LONGEST_FORMULA:
            raise ValueError(f"longer than {_LONGEST_FORMULA} characters")
        try:
            body = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            raise ValueError("not arithmetic") from None
        for node in ast.walk(body):
            _check(node)
        return cls(ast.unparse(body))

    @property
    def names(self) -> frozenset[str]:
        return frozenset(node.id for node in ast.walk(self._tree()) if isinstance(node, ast.Name))

    def bound(self, values: Mapping[str, Number]) -> Expression:
        """The same expression with these names replaced by their values."""

        class Bind(ast.NodeTransformer):
            def visit_Name(self, node: ast.Name) -> ast.expr:
                return ast.Constant(values[node.id]) if node.id in values else node

        return Expression(ast.unparse(Bind().visit(self._tree())))

    def evaluate(self, knobs: Mapping[str, Number | str]) -> Number:
        """The value at these knobs; ZeroDivisionError where it divides by zero, TypeError where a knob is text."""
        return _value(self._tree(), knobs)

    def _tree(self) -> ast.expr:
        return ast.parse(self.text, mode="eval").body

    def __str__(self) -> str:
        return f"$({self.text})"


def references_in(setting: Any) -> Iterator[tuple[tuple[int, ...], Ref | Expression]]:
    """The references that stand for a setting or, of a list, for some of its elements, with their places in it."""
    if isinstance(setting, (Ref, Expression)):
        yield (), setting
    elif isinstance(setting, tuple):
        yield from (((place,), one) for place, one in enumerate(setting) if isinstance(one, (Ref, Expression)))


def setting_at(setting: Any, knobs: Mapping[str, Number | str]) -> Any:
    """The setting at these knob values; what holds no reference as it is."""
    if isinstance(setting, (Ref, Expression)):
        return setting.evaluate(knobs)
    if isinstance(setting, tuple):
        return tuple(one.evaluate(knobs) if isinstance(one, (Ref, Expression)) else one for one in setting)
    return setting


def _check(node: ast.AST) -> None:
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return
    if isinstance(node, (ast.Name, ast.expr_context, *_BINARY, *_UNARY)):
        return
    raise ValueError("only numbers, names, + - * / and ( ) may stand in $( )")


def _value(node: ast.expr, names: Mapping[str, Number | str]) -> Number:
    if isinstance(node, ast.BinOp):
        return _BINARY[type(node.op)](_value(node.left, names), _value(node.right, names))
    if isinstance(node, ast.UnaryOp):
        return _UNARY[type(node.op)](_value(node.operand, names))
    if isinstance(node, ast.Name):
        value = names[node.id]
        if isinstance(value, str):
            raise TypeError(f"'{node.id}' is a text")
        return value
    assert isinstance(node, ast.Constant)
    return node.value  # type: ignore[return-value]  # `parse` let only int and float in
