"""Places that divide an interval evenly."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from condensa_core.search.coordinates import Floats


def sections(low: float, high: float, inside: Iterable[float], count: int) -> list[float]:
    """`count` places in (low, high), ascending, such that with those `inside` the widest gap is as small as possible.

    Nothing inside: i / (count + 1) of the way, i = 1..count; one place: the middle of the widest gap, of equal ones the
    lower. Places of `inside` beyond the ends are ignored.
    """
    walls = sorted({low, high, *(place for place in inside if low < place < high)})
    gaps = list(pairwise(walls))
    parts = [1] * len(gaps)
    for _ in range(count):
        # a gap's parts are all as wide; another place makes them one more, and the widest parts need it most
        widest = max(range(len(gaps)), key=lambda i: (round((gaps[i][1] - gaps[i][0]) / parts[i], 12), -i))
        parts[widest] += 1
    return [a + (b - a) * i / n for (a, b), n in zip(gaps, parts, strict=True) for i in range(1, n)]


def nearest_apart(places: Iterable[float], among: Floats) -> list[int]:
    """The index of the nearest of `among` for each place in turn, none twice; equally near: the earlier.

    Fewer than there are places when `among` (n) runs out.
    """
    left = np.ones(len(among), bool)
    chosen: list[int] = []
    for place in places:
        if not left.any():
            break
        chosen.append(int(np.argmin(np.where(left, np.round(np.abs(among - place), 12), np.inf))))
        left[chosen[-1]] = False
    return chosen
