"""`when:` of a rule: what it asks of the platform, and the answer a platform gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import ConfigDict, model_validator

from condensa_core.platforms import DEVICES, FEATURES, Platform
from condensa_core.recipe.fields import OneOrMany, Word
from condensa_core.recipe.record import Record
from condensa_core.recipe.refusals import refusal
from condensa_core.recipe.vocabulary import RUNTIMES


class WhenSpec(Record):
    """Conditions on the platform of the recipe's objective; all must hold: every feature, one of the names given."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    has: Annotated[tuple[Annotated[str, Word("feature", tuple(FEATURES), code="E241")], ...], OneOrMany()] | None = None
    target: Annotated[tuple[str, ...], OneOrMany()] | None = None
    runtime: Annotated[tuple[Annotated[str, Word("runtime", RUNTIMES)], ...], OneOrMany()] | None = None
    device: Annotated[str, Word("device", DEVICES, aliases=(("gpu", "cuda"),))] | None = None

    @model_validator(mode="after")
    def _asks(self) -> WhenSpec:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise refusal("E106", "'when' asks nothing", f"write one of: {', '.join(type(self).model_fields)}")
        return self


@dataclass(frozen=True)
class Answer:
    """Whether a condition holds; `reason` says why not, and is empty where it does."""

    holds: bool
    reason: str = ""


def answer(when: WhenSpec, platform: Platform) -> Answer:
    """The platform's answer; of several conditions that do not hold, the first in the order target to feature."""
    reason = (
        _another("target", platform.target, when.target)
        or _another("runtime", platform.runtime, when.runtime)
        or _another("device", platform.device, (when.device,) if when.device else None)
        or next(filter(None, map(platform.why_not, when.has or ())), "")
    )
    return Answer(not reason, reason)


def _another(what: str, here: str, wanted: tuple[str, ...] | None) -> str:
    if wanted is None or here in wanted:
        return ""
    return f"the {what} is {here}, not {' or '.join(wanted)}"
