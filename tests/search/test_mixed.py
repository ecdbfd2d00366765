"""Rows of a mixed space: always values that the knobs can take."""

from __future__ import annotations

import numpy as np
import pytest

from condensa_core.search import Knob, Space
from condensa_core.search.local_search import best_rows
from condensa_core.search.mixed import UnitLattice

SPACE = Space(
    (
        Knob("s", range=(0.1, 0.95)),
        Knob("rank", range=(0.05, 1.0), strongest="low"),
        Knob("block", range=(1, 9), step=2),
        Knob("bits", choices=(32, 16, 8, 4)),
        Knob("kind", choices=("only",)),
    )
)
LATTICE = UnitLattice.of(SPACE)


def possible(rows: np.ndarray) -> bool:
    """Whether every row is where its own point lies, up to the five figures of continuous values."""
    return all(np.allclose(SPACE.encode(SPACE.decode(row)), row, atol=2e-4) for row in rows)


def test_snapping_takes_the_nearest_value_of_stepped_knobs_and_leaves_others():
    rng = np.random.default_rng(0)
    rows = rng.uniform(-0.2, 1.2, (200, 5))
    before = rows.copy()

    snapped = LATTICE.snapped(rows)

    np.testing.assert_array_equal(rows, before)
    assert possible(snapped)
    for column in (2, 3):
        values = np.array([SPACE.knobs[column].unit(v) for v in SPACE.knobs[column].grid(10)])
        nearest = np.abs(values[None] - np.clip(rows[:, column], values[0], 1)[:, None]).min(axis=1)
        np.testing.assert_allclose(np.abs(snapped[:, column] - np.clip(rows[:, column], values[0], 1)), nearest)


def test_drawn_rows_cover_every_value_of_stepped_knobs():
    rows = LATTICE.drawn(300, np.random.default_rng(0))

    assert possible(rows)
    assert len(np.unique(rows[:, 2])) == 5 and len(np.unique(rows[:, 3])) == 4
    assert rows[:, 0].min() < 0.2 and rows[:, 0].max() > 0.95


def test_neighbours_move_a_few_knobs_and_stay_possible():
    start = LATTICE.drawn(4, np.random.default_rng(1))

    near = LATTICE.neighbours(start, 0.05, 100, np.random.default_rng(2))

    assert near.shape == (400, 5) and possible(near)
    moved = ~np.isclose(near, np.repeat(start, 100, axis=0))
    assert 0.5 < moved.sum(axis=1).mean() < 3.5
    assert np.abs(near[:, 0] - np.repeat(start, 100, axis=0)[:, 0]).max() < 0.3


def test_points_and_rows_are_each_others_inverse():
    points = LATTICE.points(LATTICE.drawn(20, np.random.default_rng(0)))

    assert LATTICE.points(LATTICE.rows(points)) == points
    assert LATTICE.rows(()).shape == (0, 5)


@pytest.mark.parametrize("best", [(0.5, 0.3, 8), (0.9, 0.05, 4)])
def test_the_local_search_finds_a_known_peak(best):
    target = np.array(
        [SPACE.knobs[0].unit(best[0]), SPACE.knobs[1].unit(best[1]), 1.0, SPACE.knobs[3].unit(best[2]), 1.0]
    )

    def score(rows: np.ndarray) -> np.ndarray:
        found = -np.abs(rows - target).sum(axis=1)
        return np.where(rows[:, 3] >= 0.5, found, -np.inf)

    rows, scores = best_rows(LATTICE, score, LATTICE.drawn(3, np.random.default_rng(5)), np.random.default_rng(6))

    np.testing.assert_allclose(rows[0], target, atol=0.03)
    assert (np.diff(scores) <= 0).all() and np.isfinite(scores).all()
