"""The base of all recipe records: closed, frozen, strict."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A part of a recipe. Unknown keys are errors, values are never converted silently, instances never change.

    `later` are keys of the grammar that this version cannot do: refused as such (E110), not as misspellings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    later: ClassVar[frozenset[str]] = frozenset()
