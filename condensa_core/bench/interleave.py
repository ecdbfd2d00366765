"""Candidates take turns, in a new random order every round, so that what disturbs one disturbs all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def interleave(
    actions: Mapping[str, Callable[[], T]],
    *,
    rounds: int,
    order: np.random.Generator,
    enough: Callable[[Sequence[Mapping[str, T]]], bool],
) -> list[dict[str, T]]:
    """What each action gave in each round: every action once a round, for at most `rounds` rounds.

    `enough` is asked after every round with all rounds so far; True ends the matter.
    """
    names = list(actions)
    finished: list[dict[str, T]] = []
    while len(finished) < rounds:
        finished.append({names[i]: actions[names[i]]() for i in order.permutation(len(names))})
        if enough(finished):
            break
    return finished
