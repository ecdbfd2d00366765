"""Between which two settings of one knob the level must lie, if the metric falls with strength."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from condensa_core.search.judgement import Judged


@dataclass(frozen=True)
class Bracket:
    """The strongest setting known to hold and the mildest stronger one known to fail, as unit coordinates.

    `holds` is 0 (the reference) and `fails` None while no trial says otherwise.
    """

    holds: float
    fails: float | None

    def contains(self, unit: float) -> bool:
        """Whether a setting lies strictly inside."""
        return self.holds < unit and (self.fails is None or unit < self.fails)


def bracket_of(judged: Sequence[Judged]) -> Bracket:
    """The bracket these judgements of one knob leave open.

    A failure milder than what holds is a dip or bad luck, not the level, and closes nothing.
    """
    holds = max((j.units[0] for j in judged if j.holds), default=0.0)
    return Bracket(holds, min((j.units[0] for j in judged if j.fails and j.units[0] > holds), default=None))
