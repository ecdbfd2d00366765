"""Values with units: `2%`, `2pp`, `1.5x`, `6MiB`, `5ms`, `12h`, `1000/s`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from condensa_core.recipe.refusals import refusal, shown

Unit = Literal["relative", "points", "factor", "bytes", "seconds", "rate", "bare"]

# How a unit is written, what it measures, how many base units it is. Decimal, so that 7% is 0.07 and reads back as 7%.
_UNITS: Final[dict[str, tuple[Unit, Decimal]]] = {
    "": ("bare", Decimal(1)),
    "%": ("relative", Decimal("0.01")),
    "pp": ("points", Decimal("0.01")),
    "x": ("factor", Decimal(1)),
    "B": ("bytes", Decimal(1)),
    "kB": ("bytes", Decimal(10**3)),
    "MB": ("bytes", Decimal(10**6)),
    "GB": ("bytes", Decimal(10**9)),
    "KiB": ("bytes", Decimal(2**10)),
    "MiB": ("bytes", Decimal(2**20)),
    "GiB": ("bytes", Decimal(2**30)),
    "us": ("seconds", Decimal("1e-6")),
    "ms": ("seconds", Decimal("0.001")),
    "s": ("seconds", Decimal(1)),
    "min": ("seconds", Decimal(60)),
    "h": ("seconds", Decimal(3600)),
    "d": ("seconds", Decimal(86400)),
    "/s": ("rate", Decimal(1)),
}
_WRITTEN_AS: Final[dict[Unit, str]] = {
    "bare": "",
    "relative": "%",
    "points": "pp",
    "factor": "x",
    "bytes": "B",
    "seconds": "s",
    "rate": "/s",
}
_AMOUNT: Final = re.compile(r"([-+]?(?:\d{1,17}(?:\.\d{0,17})?|\.\d{1,17})(?:[eE][-+]?\d{1,3})?) ?([A-Za-z%]*|/s)")
# In base units (a petabyte, thirty million years). Whole numbers below it are exact.
_TOO_LARGE: Final = 10**15


@dataclass(frozen=True)
class Quantity:
    """A number with its unit: 2% is 0.02 relative to the reference, 2pp is 0.02 points, 1.5x is 1.5 times it.

    Bytes, seconds and rates (1000/s) are in base units; `bare` was written without a unit. `str()` reads back to an
    equal quantity.
    """

    value: float
    unit: Unit

    def __str__(self) -> str:
        """In the unit that makes it shortest (6MiB, 12h, 5ms), of equals in the base unit."""
        base = _WRITTEN_AS[self.unit]
        others = [sign for sign, (unit, _) in _UNITS.items() if unit == self.unit and sign != base]
        texts = [text for text in map(self._written, others) if _AMOUNT.fullmatch(text) and self.read(text) == self]
        return min([self._written(base), *texts], key=len)

    def _written(self, sign: str) -> str:
        amount = Decimal(repr(self.value)) / _UNITS[sign][1]
        if amount == amount.to_integral_value():
            return f"{amount.quantize(Decimal(1)):f}{sign}"
        short = f"{amount.normalize():f}"
        return (short if _AMOUNT.fullmatch(short) else f"{amount.normalize():E}") + sign

    @classmethod
    def read(cls, value: Any) -> Quantity:
        """The quantity a recipe's value stands for; a refusal (E103, E106, E405) when it is none or beyond 10^15."""
        if isinstance(value, Quantity):
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value):
            if abs(value) >= _TOO_LARGE:
                raise refusal("E106", f"an amount must be below 10^15, not {shown(value)}")
            return cls(float(value), "bare")
        found = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise refusal("E103", f"expected an amount such as 2%, 2pp, 1.5x, 5ms or 6MiB, not {shown(value)}")
        amount, sign = found.groups()
        if sign not in _UNITS:
            same_letters = [known for known in _UNITS if known and known.lower() == sign.lower()]
            advice = f"did you mean '{amount}{same_letters[0]}'?" if same_letters else f"known units: {_known_units()}"
            raise refusal("E405", f"unit '{sign}' is not known", advice)
        unit, size = _UNITS[sign]
        in_base_units = Decimal(amount) * size
        if abs(in_base_units) >= _TOO_LARGE:
            base = _WRITTEN_AS[unit] if unit in ("bytes", "seconds") else ""
            raise refusal("E106", f"an amount must be below 10^15{base and ' ' + base}, not {value}")
        return cls(float(in_base_units), unit)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.read)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "number"}, {"type": "string", "pattern": f"^{_AMOUNT.pattern}$"}]}


def seconds(value: Any) -> float:
    """The length of time a recipe's value stands for, above zero: 90s, 15min, 12h; a bare number is refused."""
    if isinstance(value, str) or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        length = Quantity.read(value)
        if length.unit == "seconds":
            if length.value <= 0:
                raise refusal("E106", f"a length of time must be above zero, not {value}")
            return length.value
        if length.unit == "bare":
            advice = f"'{value}s' is seconds, '{value}min' minutes, '{value}h' hours"
            raise refusal("E402", f"'{value}' has no unit", advice)
    raise refusal("E103", f"expected a length of time such as 90s, 15min or 12h, not {shown(value)}")


def _known_units() -> str:
    return ", ".join(sign for sign in _UNITS if sign)
