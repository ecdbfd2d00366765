"""Points that fill a space without looking at any answer."""

from __future__ import annotations

import math
import warnings

import numpy as np

from condensa_core.randomness import Seed
from condensa_core.search.coordinates import Floats


def sobol_units(count: int, knobs: int, seed: Seed) -> Floats:
    """The first `count` points of a scrambled Sobol sequence in the unit cube, count x knobs.

    Each prefix fills the cube evenly and is that of every longer call. Source: Sobol 1967, with Matousek's linear
    scrambling (1998), as scipy has it.
    """
    from scipy.stats import qmc  # here: scipy.stats takes a second to load

    sequence = qmc.Sobol(knobs, scramble=True, seed=seed.numpy_generator("sobol"))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The balance properties of Sobol' points require n to be a power")
        units: Floats = sequence.random(count)
    return units


def random_units(count: int, knobs: int, seed: Seed) -> Floats:
    """`count` independent uniform points in the unit cube, count x knobs; a longer call starts with the same ones."""
    return seed.numpy_generator("random-search").random((count, knobs))


def grid_units(count: int, knobs: int) -> Floats:
    """The largest full factorial with at most `count` points and as many levels per knob as evenly as possible: n x d.

    m levels of a knob lie at 1/m, 2/m, ..., 1: the reference at 0 needs no trial. The first knob varies slowest and
    gets the first extra level.
    """
    levels = [1] * knobs
    while True:
        least = min(range(knobs), key=lambda i: (levels[i], i))
        more = [level + (i == least) for i, level in enumerate(levels)]
        if math.prod(more) > count:
            break
        levels = more
    axes = np.meshgrid(*[np.arange(1, m + 1) / m for m in levels], indexing="ij")
    return np.stack([axis.ravel() for axis in axes], axis=1)
