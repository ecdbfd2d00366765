"""`$NAME` and `$(...)` in a document: vars become their values, knobs stay as references where a knob may stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from condensa_core.errors import Problem
from condensa_core.recipe.document import Document, KeyPath
from condensa_core.recipe.expressions import FORMULA, NAME, REFERENCE, Expression, Ref
from condensa_core.recipe.refusals import near

# Prose and definitions, where a dollar sign is a dollar sign.
_LITERAL_SECTIONS = frozenset({"name", "description", "vars"})


class References:
    """One pass over a document.

    Afterwards `data` holds no var, `used` the knobs and `used_vars` the vars met, `problems` what made no sense.
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        self.vars = _section(document.data, "vars")
        self.knobs = _section(document.data, "knobs")
        self.used: set[str] = set()
        self.used_vars: set[str] = set()
        self.guessed: set[str] = set()  # knobs that a mistake probably meant
        self.problems: list[Problem] = []
        self.broken: set[KeyPath] = set()
        for name, value in self.vars.items():
            if isinstance(value, str) and value.startswith("$"):
                self._report(("vars", name), "E302", f"a var is a constant; '{value}' is not replaced here")
            if name in self.knobs:
                self._report(("knobs", name), "E304", f"'{name}' is both a var and a knob", on_key=True)
        self.data = {
            key: value if key in _LITERAL_SECTIONS else self._resolve(value, (key,))
            for key, value in document.data.items()
        }

    def _resolve(self, value: Any, path: KeyPath) -> Any:
        if isinstance(value, Mapping):
            return {key: child if key == "why" else self._resolve(child, (*path, key)) for key, child in value.items()}
        if isinstance(value, tuple):
            return tuple(self._resolve(child, (*path, position)) for position, child in enumerate(value))
        if isinstance(value, str) and value.startswith("$"):
            if found := REFERENCE.fullmatch(value):
                return self._name(found.group(1), path, value)
            if found := FORMULA.fullmatch(value):
                return self._formula(found.group(1), path, value)
        return value

    def _name(self, name: str, path: KeyPath, written: str) -> Any:
        if name in self.vars:
            self.used_vars.add(name)
            return self.vars[name]
        return Ref(name) if self._is_knob(name, path) else written

    def _formula(self, text: str, path: KeyPath, written: str) -> Any:
        try:
            expression = Expression.parse(text)
        except ValueError as error:
            self.guessed.update(NAME.findall(text))
            self._report(path, "E302", f"'{written[:60]}' is not a valid expression", str(error))
            return written
        constants = {name: self.vars[name] for name in expression.names if name in self.vars}
        self.used_vars.update(constants)
        not_numbers = [name for name, value in constants.items() if type(value) not in (int, float)]
        if not_numbers:
            self._report(path, "E302", f"'{not_numbers[0]}' in '{written}' is not a number")
            return written
        unknown = [name for name in sorted(expression.names - set(constants)) if not self._is_knob(name, path)]
        if unknown:
            return written
        expression = expression.bound(constants)
        if expression.names:
            return expression
        try:
            return expression.evaluate({})
        except (ZeroDivisionError, OverflowError):
            self._report(path, "E302", f"'{written}' has no value")
            return written

    def _is_knob(self, name: str, path: KeyPath) -> bool:
        """Whether `name` is a knob that may stand here; reported if not."""
        if name in self.knobs:
            self.used.add(name)
            if path[0] == "layers" and "scheme" in path:
                return True
            hint = "knobs set what a scheme does; for a constant use 'vars'"
            self._report(path, "E303", f"knob '{name}' cannot be used here", hint)
            return False
        close = near(name, (*self.knobs, *self.vars))
        if close:
            self.guessed.add(close)
        advice = (f"did you mean '{close}'?",) if close else ()
        self._report(path, "E301", f"'${name}' is not a knob or a var", *advice)
        return False

    def _report(self, path: KeyPath, code: str, message: str, *advice: str, on_key: bool = False) -> None:
        self.broken.add(path)
        self.problems.append(Problem(code, message, self.document.place(path, on_key=on_key), advice, path))


def _section(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = data.get(name)
    return section if isinstance(section, Mapping) else {}
