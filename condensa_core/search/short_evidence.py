"""What short training runs say of where the metric of whole ones crosses its level.

A short run collapses earlier, by a shift in t that nobody knows. Its readings get a collapse curve with the same
steepness and offset, a residual of their own, and a crossing that lies a shift before the one that is asked for. Given
the shape, readings of either kind are independent; what the short ones say of the crossing c is the integral of
p(shift) L(c - shift), where L is their likelihood: one factor per model, exact for a mixture of uniform densities. With
a small probability the short crossing lies anywhere, whatever c is, so that any shift is unlearned in the end.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from condensa_core.search.coordinates import Floats
from condensa_core.search.semi_parametric import (
    AMPLITUDES,
    BEYOND,
    OFFSETS,
    STEEPNESSES,
    Models,
    Readings,
    Shape,
    log_likelihood,
)

# Mixture of uniform densities of the shift: weight, from, to. With a fifth of the training knees are expected to come
# 0.1 to 0.5 earlier; the wide part gives way to a shift that nobody expected.
SHIFTS: Final = ((0.89, 0.0, 0.6), (0.1, -0.3, 1.5))
UNRELATED: Final = 1 - sum(weight for weight, _, _ in SHIFTS)  # the weight of a short crossing that tells nothing
# in z, beside the noise of a reading: fewer iterations end less alike from setting to setting
EXTRA_SD: Final = 0.15
_CELLS: Final = 600  # of the short crossing, 0.01 in t for a knob up to 99.5 %


class ShortEvidence:
    """The likelihood of short readings, to be asked for any models of the whole runs."""

    def __init__(self, readings: Readings, shape: Shape) -> None:
        """`readings` of short runs without the reference, variances of the readings alone."""
        noisy = Readings(readings.t, readings.z, readings.variance + EXTRA_SD**2)
        earliest = -max(to for _, _, to in SHIFTS)
        self._edges = np.linspace(earliest, BEYOND * shape.reach - min(start for _, start, _ in SHIFTS), _CELLS + 1)
        middles = (self._edges[:-1] + self._edges[1:]) / 2
        beta, offset, amplitude, crossing = (
            axis.ravel() for axis in np.meshgrid(STEEPNESSES, OFFSETS, AMPLITUDES, middles, indexing="ij")
        )
        models = Models(shape, crossing, beta, offset, amplitude, np.ones_like(crossing))
        found = log_likelihood(noisy, models).reshape(-1, _CELLS)  # a row per shape
        self._best = found.max(axis=1)
        likelihood = np.exp(found - self._best[:, None])
        self._shapes = list(zip(*(a.reshape(-1, _CELLS)[:, 0] for a in (beta, offset, amplitude)), strict=True))
        self._below = np.concatenate([np.zeros((len(found), 1)), np.cumsum(likelihood, axis=1)], axis=1)

    def log_weights(self, models: Models) -> Floats:
        """The logarithm of what k models are multiplied with, up to a constant: k."""
        found = np.empty_like(models.crossing)
        anywhere = UNRELATED / (self._edges[-1] - self._edges[0])
        for (beta, offset, amplitude), best, below in zip(self._shapes, self._best, self._below, strict=True):
            of = (models.steepness == beta) & (models.offset == offset) & (models.amplitude == amplitude)
            at = models.crossing[of]
            related = sum(
                share / (to - start) * (self._up_to(at - start, below) - self._up_to(at - to, below))
                for share, start, to in SHIFTS
            )
            found[of] = best + np.log(related + anywhere * below[-1])
        return found

    def _up_to(self, crossing: Floats, below: Floats) -> Floats:
        """The integral of a shape's likelihood over short crossings below these."""
        return np.interp(crossing, self._edges, below)
