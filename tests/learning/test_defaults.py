"""Nobody tunes mu: the default schedule must stand against the best of a grid of hand-made ones."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy
from toy_task import judge_on, toy_batches, trained_toy

from condensa_core.errors import Diverged
from condensa_core.learning import Settings, compress, compress_directly
from condensa_core.randomness import Seed
from condensa_core.schemes import Codebook, Part, Prune

WEIGHTS = ("conv1.weight", "conv2.weight", "fc.weight")
DENSITY = 0.05
GRID = [(start, growth, None) for start in (1e-3, 1e-2, 1e-1, 1.0) for growth in (1.1, 1.5)]


@pytest.fixture(scope="module")
def outcome_of():
    train, val = toy_batches()
    model = trained_toy(train)

    def run(mu, iterations):
        settings = replace(Settings(), steps=10, iterations=iterations, mu=mu)
        parts = [Part(WEIGHTS, Prune(1 - DENSITY))]
        return compress(model, parts, train, cross_entropy, judge_on(val), settings, seed=Seed(0))

    return run


def test_code_books_are_learned_and_meet_their_weights():
    """What L-C is for: next to nothing of a code book is left to fine-tune once its assignments are fixed."""
    train, val = toy_batches()
    model, judge = trained_toy(train), judge_on(val)
    parts = [Part((name,), Codebook(2)) for name in WEIGHTS]
    settings = replace(Settings(), steps=10, iterations=32)

    learned = compress(model, parts, train, cross_entropy, judge, settings, seed=Seed(0))

    direct = compress_directly(model, parts, train, judge)
    assert learned.score.value > direct.score.value + 0.01
    assert learned.history[-1]["distance"] < 0.1
    for name in WEIGHTS:
        assert len(dict(learned.model.named_parameters())[name].unique()) == 2


@pytest.mark.parametrize("iterations", [8, 32])
def test_the_default_mu_is_within_two_points_of_the_best_by_hand(outcome_of, iterations):
    by_hand = []
    for mu in GRID:
        try:
            by_hand.append(outcome_of(mu, iterations).score.value)
        except Diverged:
            by_hand.append(0.0)

    default = outcome_of(None, iterations)

    assert default.score.value >= max(by_hand) - 0.02
    assert default.best_step > 0  # never direct compression
    assert all(bool(torch.isfinite(p).all()) for p in default.model.parameters())
    assert min(by_hand) < max(by_hand) - 0.02  # the grid does matter: a fixed mu can be wrong
