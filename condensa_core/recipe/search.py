"""The section `search`: how the knob is searched, how long, and when a trial is believed."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, GetJsonSchemaHandler, Tag, model_validator
from pydantic_core import CoreSchema

from condensa_core.recipe.fields import OneOrMany, Seconds, Word
from condensa_core.recipe.record import Record
from condensa_core.recipe.refusals import refusal
from condensa_core.recipe.schemes import PYTHON_TAG, WORD_OR_PYTHON, WORD_TAG, PythonSpec
from condensa_core.recipe.units import Quantity
from condensa_core.recipe.vocabulary import (
    SEARCH_COORDINATES,
    SEARCH_KERNELS,
    SEARCH_METHODS,
    SEARCH_PRIORS,
)

_Kernel = Annotated[
    Annotated[str, Word("kernel", SEARCH_KERNELS), Tag(WORD_TAG)] | Annotated[PythonSpec, Tag(PYTHON_TAG)],
    WORD_OR_PYTHON,
]
_Share = Annotated[float, Field(ge=0, le=1)]


_TRIALS_TO_ABORT = 3


class ReturnSpec(Record):
    """When a trial holds its bound: measured to, and likely to by all trials or clear by so many of its own sd."""

    probability: _Share = 0.7
    clear_sd: Annotated[float, Field(ge=0, le=100)] = 1.5


class ShortSpec(Record):
    """Runs before the search with `share` of the iterations of L steps and fine-tuning."""

    trials: Annotated[int, Field(ge=1, le=100)] = 4
    share: Annotated[float, Field(gt=0, lt=1)] = 0.2

    @model_validator(mode="before")
    @classmethod
    def _count_alone(cls, value: Any) -> Any:
        return {"trials": value} if isinstance(value, int) and not isinstance(value, bool) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 100}, handler(schema)]}


class SearchSpec(Record):
    """How the knobs are searched, and how long.

    Settings left out take the method's defaults. `noise` is the standard deviation that training again
    with another seed gives the constraint's metric. `early_abort` ends the fine-tuning of a trial whose fate is
    certain. `warm_start` names directories of earlier runs that tell where the bound may lie; relative ones start from
    the recipe's folder. `short` asks for short runs that tell the same; they are paid for, and never shipped.
    """

    later: ClassVar[frozenset[str]] = frozenset({"patience"})
    method: Annotated[str, Word("search method", tuple(SEARCH_METHODS))] = "level-set"
    least_gain: _Share | None = None
    gamma: _Share | None = None
    beta: Annotated[float, Field(ge=0, le=100)] | None = None
    kernel: _Kernel | None = None
    prior: Annotated[str, Word("prior", SEARCH_PRIORS)] | None = None
    coordinates: Annotated[str, Word("choice of coordinates", SEARCH_COORDINATES)] | None = None
    confidence: Annotated[float, Field(gt=0.5, lt=1)] | None = None
    noise: Quantity | None = None
    return_: ReturnSpec = Field(default=ReturnSpec(), alias="return")
    trials: Annotated[int, Field(ge=1, le=10**4)] = 10
    parallel: Annotated[int, Field(ge=1, le=256)] = 1
    early_abort: bool = False
    timeout_s: Seconds | None = Field(default=None, alias="timeout")
    warm_start: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], OneOrMany()] | None = None
    short: ShortSpec | None = None

    @model_validator(mode="after")
    def _steers_something(self) -> SearchSpec:
        for key, value in self.settings().items():
            if value is not None and key not in SEARCH_METHODS[self.method]:
                takers = ", ".join(name for name, taken in SEARCH_METHODS.items() if key in taken)
                message = f"search method '{self.method}' takes no '{key}'"
                raise refusal("E101", message, f"methods that do: {takers}", key=key, on_key=True)
        for key in ("warm_start", "short"):
            if getattr(self, key) is not None and self.method != "level-set":
                message = f"search method '{self.method}' takes no '{key}'"
                raise refusal("E101", message, "methods that do: level-set", key=key, on_key=True)
        if isinstance(self.kernel, PythonSpec) and self.prior is not None:
            message = "a kernel in Python has its own priors, so it takes no 'prior'"
            raise refusal("E101", message, key="prior", on_key=True)
        if self.early_abort and self.trials < _TRIALS_TO_ABORT:
            message = f"an early abort learns from two finished trials, so {self.trials} trials never have one"
            raise refusal("E101", message, f"write trials: {_TRIALS_TO_ABORT} or more", key="early_abort", on_key=True)
        return self

    def noise_sd(self, reference_value: float) -> float:
        """The noise in the metric's own unit, given the reference's value; 0 where the recipe says nothing."""
        if self.noise is None:
            return 0.0
        return self.noise.value * abs(reference_value) if self.noise.unit == "relative" else self.noise.value

    def settings(self) -> dict[str, Any]:
        """What is said of the method's own settings, by name; None where nothing is."""
        return {key: getattr(self, key) for key in sorted(frozenset().union(*SEARCH_METHODS.values()))}
