"""When a trial's fate is certain before its fine-tuning ends, from what fine-tuning gave the trials before it.

Fine-tuning closes much the same share of a trial's gap to the reference, shallow or deep: 0.80 to 0.86 of it for
filters of a small CNN on Fashion-MNIST at sparsities from 0.38 to 0.85, where the gain itself went from 0.01 to 0.14.
L steps do not (a step in the middle leaves a deep trial nearly all of its gap, and is closed later), so nothing is
concluded before they are over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import hypot
from statistics import median
from typing import Any, Final, Literal

from condensa_core.search import Entry

FINETUNED: Final = "finetuned_val"  # the detail that holds a trial's history
CARRIED: Final = "carried"  # in a brief: what the files of earlier trials read more than their models
FEWEST: Final = 2  # finished trials that show something
SAFETY: Final = 2.0  # fine-tuning may close the gap to half of what the best of them left, or gain twice as much
NOISE_SD: Final = 3.0


@dataclass(frozen=True)
class Fate:
    """What a trial's metric is expected to be after fine-tuning, with a standard deviation; below its level by more."""

    metric: float
    sd: float


def histories(entries: Iterable[Entry]) -> list[list[float]]:
    """The best metric so far at the start of fine-tuning and after each epoch, of every trial finished in a journal."""
    ended = (entry.payload["observation"] for entry in entries if entry.kind == "trial-ended")
    return [list(o["details"][FINETUNED]) for o in ended if o["status"] == "ok" and FINETUNED in o["details"]]


def carried(entries: Iterable[Entry]) -> list[float]:
    """What the file of every trial finished in a journal reads more than its model read at the end of fine-tuning.

    Next to nothing in floating point; below 0 where layers compute in integers, which histories know nothing of.
    """
    ended = (entry.payload["observation"] for entry in entries if entry.kind == "trial-ended")
    tuned = [o for o in ended if o["status"] == "ok" and o["details"].get(FINETUNED)]
    return [o["metric"] - o["details"][FINETUNED][-1] for o in tuned]


def certain_fate(
    earlier: Sequence[Sequence[float]],
    so_far: float,
    epoch: int,
    *,
    carried: Sequence[float] = (),
    reference: float,
    level: float,
    better: Literal["higher", "lower"],
    noise_sd: float,
) -> Fate | None:
    """The fate of a trial whose best metric after `epoch` epochs of fine-tuning is `so_far`; None where it is open.

    `earlier` holds the histories of finished trials; those that had no gap to the reference beyond noise at that epoch
    show nothing, and at least FEWEST must show something. Certain means that the level is missed by NOISE_SD even if
    half of the smallest share of a gap that any of them was left with remains, and even with twice the largest gain.
    `carried` holds what the files of earlier trials read more than their models: the fate is that of the file, and is
    certain only with the most favourable of them.
    """
    sign = 1 if better == "higher" else -1
    gap, wanted = sign * (reference - so_far), sign * (level - so_far)
    noise = NOISE_SD * noise_sd
    shown = [(h[epoch], h[-1]) for h in earlier if len(h) > epoch and sign * (reference - h[epoch]) > noise]
    if len(shown) < FEWEST:
        return None
    left = [sign * (reference - last) / (sign * (reference - then)) for then, last in shown]
    gain = max(sign * (last - then) for then, last in shown)
    closest = min(left) / SAFETY * gap  # to the reference, at the very best
    favourable = max([0.0, *(sign * more for more in carried)])
    if closest - favourable <= sign * (reference - level) + noise or wanted - favourable <= SAFETY * gain + noise:
        return None
    expected = median(left) * gap
    shift, apart = (median(carried), (max(carried) - min(carried)) / 2) if carried else (0.0, 0.0)
    # the very best end lies two standard deviations above the expected one
    return Fate(reference - sign * expected + shift, hypot((expected - closest) / 2, apart))


def brief(entries: Iterable[Entry]) -> Mapping[str, Any]:
    """JSON values that let whoever runs a trial apply the rule: fixed when it starts, so that resuming it agrees."""
    return {FINETUNED: histories(entries), CARRIED: carried(entries)}
