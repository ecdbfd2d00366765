"""Validation errors as problems: pydantic's key path becomes a place, its type a code and a sentence to act on."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from condensa_core.errors import Place, Problem
from condensa_core.recipe.document import Document, KeyPath, key_text
from condensa_core.recipe.record import Record
from condensa_core.recipe.records import Recipe, RuleSpec
from condensa_core.recipe.refusals import look_alikes, near, shown, suggestion
from condensa_core.recipe.schemes import PYTHON_TAG, WORD_TAG, SchemeSpec, Settings

_EXPECTED: Final = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "dict_type": "a mapping of keys",
    "model_type": "a mapping of keys",
    "model_attributes_type": "a mapping of keys",
    "tuple_type": "a list",
}
_LIMITS: Final = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "above"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "below"),
}
# Keys of other tools, and what format 1 says instead.
_RENAMED: Final = {
    "density": "write the fraction removed instead: sparsity = 1 - density",
    "ratio": "write the fraction removed: sparsity",
    "ignore": "layers that nothing may touch are listed under 'keep', at the top level",
    "exclude": "layers that nothing may touch are listed under 'keep', at the top level",
    "targets": "write 'match', the names of layers",
    "acquisition": "the method names it: write method: ils-ucb",
}


def problem_from(error: ErrorDetails, document: Document) -> Problem:
    """The problem a validation error means."""
    path = tuple(step for step in error["loc"] if step not in (WORD_TAG, PYTHON_TAG))
    kind, value = error["type"], error["input"]
    if path and path[-1] == "[key]":  # pydantic's mark of a key that is refused for itself
        path = path[:-1]
    context: Mapping[str, Any] = error.get("ctx") or {}
    name = _last_name(path)
    if re.fullmatch(r"E\d+", kind):
        child = str(context["key"]).split(".") if context["key"] else []
        path = (*path, *(int(step) if step.isdigit() else step for step in child))
        place = document.place(path, on_key=context["on_key"])
        message, advice = context["message"], tuple(context["advice"])
        if path[0] == "knobs" and len(path) > 1 and message.startswith("a knob "):
            message = f"knob '{path[1]}' " + message.removeprefix("a knob ")
        return Problem(kind, message, _inside(place, context["offset"]), advice, path)
    if kind == "extra_forbidden":
        return _unknown_key(path, document)
    if kind == "missing" and isinstance(path[-1], int):  # a fixed list, such as a range, that is too short
        kind, path, context = "too_short", path[:-1], {"min_length": 2}
        name = _last_name(path)
    if kind == "missing":
        return _missing(path, document)
    place = document.place(path)
    if kind in _LIMITS:
        key, words = _LIMITS[kind]
        limit = context[key] if isinstance(context[key], int) else f"{context[key]:g}"
        return Problem("E106", f"'{name}' must be {words} {limit}, not {value}", place, (), path)
    if kind in ("too_short", "too_long"):
        count = context.get("min_length", context.get("max_length"))
        return Problem("E103", f"'{name}' must have {count} values, not {len(value)}", place, (), path)
    if kind == "string_pattern_mismatch":
        return Problem("E103", f"{shown(value)} does not look like a {name}", place, (), path)
    expected = _EXPECTED.get(kind, "a text, a number, true or false")
    return Problem("E103", f"'{name}' must be {expected}, not {shown(value)}", place, (), path)


def _inside(place: Place, offset: int) -> Place:
    """The place `offset` characters into a text that may stand in quotes."""
    if not offset or not place.line:
        return place
    if place.source[place.column - 1 : place.column] in ("'", '"'):
        offset += 1
    return Place(place.file, place.line, place.column + offset, place.source)


def _unknown_key(path: KeyPath, document: Document) -> Problem:
    key, parent = str(path[-1]), path[:-1]
    place = document.place(path, on_key=True)
    record = _record_at(parent)
    known = known_keys(record)
    if key in record.later:
        what = "scheme" if record is SchemeSpec else "key"
        advice = f"available: {', '.join(known)}"
        return Problem("E110", f"{what} '{key}' is not available in this version", place, (advice,), path)
    if record is SchemeSpec:
        advice = suggestion(key, (*known, *record.later), f"known schemes: {', '.join(known)}; not yet: ")
        return Problem("E220", f"unknown scheme '{key}'", place, (advice, *look_alikes(key)), path)
    if issubclass(record, Settings):
        if key in known_keys(RuleSpec):
            advice = f"'{key}' belongs to the rule, beside 'match'"
        else:
            advice = _RENAMED.get(key) or suggestion(key, known)
        return Problem("E221", f"unknown key '{key}' in scheme '{path[-2]}'", place, (advice, *look_alikes(key)), path)
    where = f"'{key_text(parent)}'" if parent else "the recipe"
    advice = suggestion(key, known) if near(key, known) else _RENAMED.get(key) or suggestion(key, known)
    return Problem("E101", f"unknown key '{key}' in {where}", place, (advice, *look_alikes(key)), path)


def _missing(path: KeyPath, document: Document) -> Problem:
    key, parent = str(path[-1]), path[:-1]
    if not parent:
        place = document.place(("condensa",), on_key=True)
        return Problem("E102", f"missing required section '{key}'", place, (), path)
    place = document.place(parent, on_key=True)
    if _record_at(parent) is RuleSpec:
        code = "E201" if key == "match" else "E205"
        return Problem(code, f"{key_text(parent)} has no '{key}'", document.place(parent), (), path)
    return Problem("E102", f"missing '{key}' in '{key_text(parent)}'", place, (), path)


def known_keys(record: type[Record]) -> tuple[str, ...]:
    """The keys of a record, as they are written."""
    return tuple(info.alias or name for name, info in record.model_fields.items())


def _record_at(path: KeyPath) -> type[Record]:
    """The record type that stands at a key path of a recipe."""
    found: Any = Recipe
    for step in path:
        found = _unwrapped(found)
        if isinstance(found, type) and issubclass(found, BaseModel):
            found = next(info.annotation for name, info in found.model_fields.items() if step in (name, info.alias))
        else:
            arguments = get_args(found)
            found = arguments[1] if get_origin(found) is dict else arguments[0]
    found = _unwrapped(found)
    assert isinstance(found, type) and issubclass(found, Record), path
    return found


def _unwrapped(annotation: Any) -> Any:
    """`X` out of `Annotated[X, ...]` and `X | None`; of a word or a record, the record."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in (Union, types.UnionType):
            parts = [_unwrapped(part) for part in get_args(annotation) if part is not type(None)]
            records = [part for part in parts if isinstance(part, type) and issubclass(part, Record)]
            annotation = (records or parts)[0]
        else:
            return annotation


def _last_name(path: KeyPath) -> str:
    names = [position for position, step in enumerate(path) if isinstance(step, str)]
    return key_text(path[names[-1] :]) if names else "the recipe"
