"""What a finding's own noise leaves of it: in how far a metric, or a measured gain, is shown to be what it seems."""

from __future__ import annotations

from typing import Final

from condensa_core.bench import RESOLUTION, Ratio
from condensa_core.recipe import BoundSpec
from condensa_core.workload import Evaluation, difference_stderr

CLEAR_SD: Final = 1.96  # standard errors: beyond lies 5 % of pure noise


def distance_stderr(bound: BoundSpec, reference: Evaluation, value: Evaluation) -> float:
    """The standard error of a metric's distance to its limit, which moves with the reference or stands by itself.

    WorkloadError for evaluations of other samples.
    """
    apart = difference_stderr(value, reference, bound.metric)
    if bound.bound in ("max_drop", "max_rise"):
        return apart
    return value.scores[bound.metric].stderr


def doubtful_gain(ratio: Ratio) -> str:
    """Why a measured gain may be none, as a sentence; empty where it is shown, or shown to be a loss."""
    if not ratio.certain:
        return "the measured gain rests on too few rounds for an interval: it may be noise"
    if ratio.low <= 1 <= ratio.high:
        return "the measured gain lies inside its own noise: the interval contains 1"
    if ratio.verdict == "not distinguishable":
        return f"the measured gain lies inside the noise: two sessions of one file may differ by {RESOLUTION:.0%}"
    return ""
