"""Field types of the records: words from a list, one-or-many values, numbers that a knob may replace."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo, WithJsonSchema
from pydantic_core import CoreSchema, core_schema

from condensa_core.recipe.expressions import NAME, Expression, Ref
from condensa_core.recipe.refusals import look_alikes, not_available, refusal, shown, suggestion
from condensa_core.recipe.units import seconds


@dataclass(frozen=True)
class Word:
    """A text from a list: `what` names it in messages, `later` are known words this version cannot do (E110)."""

    what: str
    words: Sequence[str]
    later: Sequence[str] = ()
    aliases: tuple[tuple[str, str], ...] = ()  # pairs of other spelling and word
    code: str = "E107"

    def read(self, value: Any) -> str:
        if isinstance(value, Mapping) and "python" in value:
            raise not_available(f"a {self.what} in Python", f"known: {', '.join(self.words)}")
        if not isinstance(value, str):
            raise refusal("E103", f"a {self.what} is one of {', '.join(self.words)}, not {shown(value)}")
        value = dict(self.aliases).get(value, value)
        if value in self.words:
            return value
        if value in self.later:
            raise not_available(f"{self.what} '{value}'", f"available: {', '.join(self.words)}")
        known = (*self.words, *dict(self.aliases), *self.later)
        raise refusal(self.code, f"unknown {self.what} '{value}'", suggestion(value, known))

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "enum": [*self.words, *dict(self.aliases)]}


@dataclass(frozen=True)
class OneOrMany:
    """A tuple that may be written as its only element."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def listed(value: Any) -> Any:
            if value == ():
                raise refusal("E106", "the list is empty")
            return value if isinstance(value, tuple) else (value,)

        return core_schema.no_info_before_validator_function(listed, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        many = {**handler(schema), "minItems": 1}
        return {"anyOf": [many["items"], many]}


def _selector(value: Any) -> str:
    if not isinstance(value, str):
        raise refusal("E103", f"a layer is named by a text, not {shown(value)}")
    if not value.removeprefix("re:"):
        raise refusal("E106", "a layer name must not be empty", "write 'all' for every layer")
    if value.startswith("re:"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # hints of `re` about future syntax
                re.compile(value[3:])
        except re.error as error:
            offset = 3 + (error.pos or 0)
            raise refusal("E202", f"bad regular expression: {error.msg}", offset=offset) from None
        except (RecursionError, OverflowError):
            raise refusal("E202", "bad regular expression: too large") from None
    return value


def _reference_to_python(value: Any) -> str:
    if not isinstance(value, str):
        raise refusal("E103", f"Python is named as file.py:object or package.module:object, not {shown(value)}")
    where, colon, name = value.rpartition(":")
    if not (colon and where and all(part.isidentifier() for part in name.split("."))):
        advice = f"write '{value}:NAME', where NAME is a function or class in it" if not colon else ""
        raise refusal("E505", f"'{value}' names no Python object", *filter(None, [advice]))
    advice = "write file.py:object or package.module:object"
    if not where.endswith(".py") and not all(part.isidentifier() for part in where.split(".")):
        raise refusal("E505", f"'{where}' is neither a .py file nor a module", advice)
    return value


def _folder_name(value: Any) -> str:
    if not isinstance(value, str):
        raise refusal("E103", f"a name must be text, not {shown(value)}")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value):
        advice = "use letters, digits, '.', '_' and '-'"
        raise refusal("E108", f"name '{value[:40]}' cannot name a folder", advice, *look_alikes(value))
    return value


def identifier(value: Any) -> str:
    """A name that `$NAME` can refer to."""
    if not isinstance(value, str) or not NAME.fullmatch(value):
        advice = "use letters, digits and '_', and start with no digit"
        raise refusal("E313", f"'{value}' cannot be a name", advice, *look_alikes(str(value)))
    return value


@dataclass(frozen=True, eq=False)
class Setting:
    """A number of a scheme, which a reference to a knob may stand for: its values are checked where knobs are known."""

    name: str
    check: Callable[[Any], Any]
    schema: Mapping[str, Any]

    def read(self, value: Any) -> Any:
        return value if isinstance(value, (Ref, Expression)) else self.check(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [dict(self.schema), {"type": "string", "pattern": r"^\$"}]}


def _sparsity(value: Any) -> float:
    """The fraction removed, in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        as_percent = re.fullmatch(r"(\d{1,2}(?:\.\d+)?) ?%", value) if isinstance(value, str) else None
        advice = [f"write {float(as_percent.group(1)) / 100:g} for {value}"] if as_percent else []
        raise refusal("E103", f"'sparsity' must be a number or a knob, not {shown(value)}", *advice)
    if not 0 <= value < 1:
        advice = [f"write {value / 100:g} for {value:g}%"] if 1 < value < 100 else []
        raise refusal("E222", f"sparsity {value:g} is outside [0, 1)", *advice)
    return float(value)


def _whole(name: str, low: int, high: int | None = None) -> Setting:
    """A whole number from `low`, to `high` where there is one."""

    def check(value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # arithmetic over knobs
        if isinstance(value, bool) or not isinstance(value, int):
            raise refusal("E103", f"'{name}' must be a whole number, not {shown(value)}")
        if value < low:
            raise refusal("E222", f"{name} {value} is below {low}")
        if high is not None and value > high:
            raise refusal("E222", f"{name} {value} is above {high}")
        return value

    ends = {"minimum": low} if high is None else {"minimum": low, "maximum": high}
    return Setting(name, check, {"type": "integer", **ends})


def _real(name: str, *, to_one: bool, from_zero: bool = False) -> Setting:
    """A number above 0 (or from it), at most 1 for a fraction."""

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise refusal("E103", f"'{name}' must be a number or a knob, not {shown(value)}")
        if value < 0 or (value == 0 and not from_zero) or not math.isfinite(value) or (to_one and value > 1):
            advice = [f"write {value / 100:g} for {value:g}%"] if to_one and 1 < value <= 100 else []
            span = ("[0" if from_zero else "(0") + (", 1]" if to_one else ", inf)")
            raise refusal("E222", f"{name} {value:g} is outside {span}", *advice)
        return value

    low = {"minimum": 0} if from_zero else {"exclusiveMinimum": 0}
    return Setting(name, check, {"type": "number", **low, **({"maximum": 1} if to_one else {})})


SPARSITY: Final = Setting("sparsity", _sparsity, {"type": "number", "minimum": 0, "exclusiveMaximum": 1})
ALIGN: Final = _whole("align", 1)
KAPPA: Final = _real("kappa", to_one=False, from_zero=True)  # a count, or with norm l1 a sum of magnitudes
ALPHA: Final = _real("alpha", to_one=False)
GROUP: Final = _whole("group", 1)
BOOK_SIZE: Final = _whole("size", 1, 65536)
RANK: Final = _whole("rank", 1)
ENERGY: Final = _real("energy", to_one=True)
BUDGET: Final = _real("budget", to_one=True)


_BLOCK_SIZE: Final = _whole("shape", 1)


class _BlockShape:
    """The sizes of a block; a knob may stand for each of them."""

    name = "shape"
    check = staticmethod(_BLOCK_SIZE.check)

    def read(self, value: Any) -> tuple[int | Ref | Expression, ...]:
        sizes = value if isinstance(value, tuple) else ()
        numbers = [size for size in sizes if not isinstance(size, (Ref, Expression))]
        if not sizes or any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in numbers):
            advice = "write the size of a block along each dimension, such as [4, 1]"
            raise refusal("E103", f"'shape' must be a list of whole numbers from 1, not {shown(value)}", advice)
        return sizes

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1}


BLOCK_SHAPE: Final = _BlockShape()


def _pattern(value: Any, info: ValidationInfo) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise refusal("E224", f"pattern {value} is a number", "write N:M, such as 2:4")
    if not isinstance(value, str):
        raise refusal("E103", f"a pattern is a name, not {shown(value)}")
    if value == "unstructured":
        return value
    declared = info.context.get("patterns", ()) if info.context else ()
    ratio = re.fullmatch(r"(\d+):(\d+)", value)
    if ratio:
        kept, group = int(ratio[1]), int(ratio[2])
        if not 0 < kept <= group:
            advice = f"write {group}:{kept}, the smaller number first" if 0 < group < kept else "write N:M, such as 2:4"
            raise refusal("E224", f"pattern {value} keeps {kept} of each {group} weights", advice)
        return value
    if value in declared:
        return value
    known = ("unstructured", *declared)
    raise refusal("E225", f"pattern '{value}' is neither N:M nor declared under 'patterns'", suggestion(value, known))


Selector = Annotated[str, BeforeValidator(_selector), WithJsonSchema({"type": "string", "minLength": 1})]
PythonReference = Annotated[
    str,
    BeforeValidator(_reference_to_python),
    WithJsonSchema({"type": "string", "pattern": "^.+:[A-Za-z_][A-Za-z0-9_.]*$"}),
]
FolderName = Annotated[
    str,
    BeforeValidator(_folder_name),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"}),
]
Identifier = Annotated[
    str, BeforeValidator(identifier), WithJsonSchema({"type": "string", "pattern": f"^{NAME.pattern}$"})
]
Seconds = Annotated[
    float, BeforeValidator(seconds), WithJsonSchema({"type": "string", "pattern": r"^[0-9.eE+-]+ ?(us|ms|s|min|h|d)$"})
]
Pattern = Annotated[str, BeforeValidator(_pattern), WithJsonSchema({"type": "string", "minLength": 1})]
