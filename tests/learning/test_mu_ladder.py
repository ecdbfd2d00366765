"""The ladder of mu follows the kind of codes: firm wherever one of them leaves next to nothing to fine-tune."""

from __future__ import annotations

import pytest
import torch

from condensa_core.learning.lc import mu_ladder
from condensa_core.learning.schedule import FIRM_PULL_END, FIRM_PULL_START, PULL_END, PULL_START
from condensa_core.learning.settings import Settings
from condensa_core.schemes import Binary, Codebook, Compose, LowRank, Part, Prune, Quantize

WEIGHTS = {"a": torch.randn(8, 6), "b": torch.randn(5, 7)}
GENTLE, FIRM = (PULL_START, PULL_END), (FIRM_PULL_START, FIRM_PULL_END)


@pytest.mark.parametrize(
    ("first", "second", "pulls"),
    [
        (Prune(0.5), LowRank(rank=1), GENTLE),
        (Quantize("float16"), Compose((Prune(0.5), Quantize("bfloat16"))), GENTLE),
        (Codebook(2), Codebook(2), FIRM),
        (Prune(0.5), Binary(), FIRM),  # one is enough
        (Compose((Prune(0.5), Codebook(2))), Prune(0.5), FIRM),
        (Quantize("int8"), Prune(0.5), FIRM),
        (Prune(alpha=0.1, form="penalty"), Prune(0.5), GENTLE),  # needs a mu to be looked at
    ],
    ids=str,
)
def test_the_pulls_are_those_of_the_kind_of_codes(first, second, pulls):
    settings = Settings(steps=5, lr=0.02, momentum=0.8, iterations=60)

    ladder = mu_ladder(settings, WEIGHTS, [Part(("a",), first), Part(("b",), second)])

    found = [
        mu * settings.lr_of(step) * settings.iterations_of(step) / (1 - settings.momentum)
        for step, mu in enumerate(ladder, 1)
    ]
    assert found == pytest.approx([pulls[0] * (pulls[1] / pulls[0]) ** (j / 4) for j in range(5)])


def test_the_users_mu_is_the_users():
    settings = Settings(steps=3, mu=(0.5, 2.0, 1.5))

    assert mu_ladder(settings, WEIGHTS, [Part(("a",), Codebook(2))]) == [0.5, 1.0, 1.5]
