"""Where channels leave, every form of a weight is that of the smaller tensor: its numbers, and its size in bits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_families import dense_family

from condensa_core.schemes import (
    Binary,
    Codebook,
    Compose,
    Filter,
    LowRank,
    Metric,
    Prune,
    Quantize,
    Target,
    Ternary,
)

FORMS = {
    "float16": Quantize("float16"),
    "bfloat16": Quantize("bfloat16"),
    "one scale": Quantize("int8"),
    "one scale, least squares": Quantize("int3", range="mse"),
    "a scale a row": Quantize("int4", "channel"),
    "a scale a row, percentile": Quantize("int8", "channel", range="percentile", percentile=80),
    "a zero point a row": Quantize("uint4", "channel", symmetric=False),
    "a scale a group": Quantize("int4", "group", 4),
    "a signed zero point a row": Quantize("int4", "channel", symmetric=False),
    "a signed zero point a group": Quantize("int4", "group", 2, symmetric=False),
    "a zero point a group": Quantize("uint3", "group", 3, symmetric=False, range="mse"),
    "binary": Binary(),
    "signs alone": Binary(scale=False),
    "ternary": Ternary(),
    "book": Codebook(5),
    "book with zero": Codebook(4, zero=True),
    "low rank": LowRank(rank=2),
    "survivors": Prune(kappa=9),
}
few = settings(max_examples=12)  # there are many forms
by_form = pytest.mark.parametrize("form", FORMS)


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@by_form
@pytest.mark.parametrize("shape", [(6, 10), (5, 7, 3, 3), (3, 8, 2)])
@pytest.mark.parametrize("weighted", [False, True])
@few
@given(data=st.data())
def test_what_is_left_is_projected_as_the_smaller_tensor(form, shape, weighted, data):
    if weighted and not FORMS[form].facts.metrics & {"diagonal"}:
        return
    keep = [data.draw(st.lists(st.booleans(), min_size=n, max_size=n).filter(any)) for n in shape[:2]]
    rows, columns = (torch.tensor(one).nonzero().flatten() for one in keep)
    alive = torch.zeros(shape, dtype=torch.bool)
    alive[rows[:, None], columns] = True
    w, other = drawn(1, *shape) * alive, drawn(2, 4, 5)
    energies = drawn(3, *shape[1:]).square()

    def metrics(weights: torch.Tensor) -> dict[str, Metric]:
        return {"w": Metric(weights[None])} if weighted else {}

    code = FORMS[form].project(Target({"w": w, "v": other}, alive={"w": alive}, metrics=metrics(energies)))

    small = {"w": w[rows][:, columns], "v": other}
    alone = FORMS[form].project(Target(small, metrics=metrics(energies[columns])))
    assert code.bits() == alone.bits()
    assert code.structure_bits() == alone.structure_bits()
    dense, expected = code.decode(), alone.decode()
    torch.testing.assert_close(dense["w"][rows][:, columns], expected["w"])
    torch.testing.assert_close(dense["v"], expected["v"])
    assert not dense["w"][~alive].any()


@by_form
@few
@given(seed=st.integers(0, 2**20))
def test_a_composition_after_channels_has_the_bits_of_the_cut_tensors(form, seed):
    family = dense_family("a", 6, consumer="b")
    weights = drawn(seed, 6, 7)

    code = Compose((Filter(0.5), FORMS[form])).project(Target({"a.weight": weights}, (family,)))

    kept = torch.from_numpy(code.keep[family.name])
    assert code.bits() == FORMS[form].project(Target({"a.weight": weights[kept]})).bits()


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(
    ("granularity", "group", "scales"), [("channel", None, 3), ("group", 2, 5), ("tensor", None, 1)]
)
def test_scales_of_nothing_are_not_counted(symmetric, granularity, group, scales):
    alive = torch.tensor([[1, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1], [0, 1, 0, 0, 0, 0]]).bool()
    scheme = Quantize("uint4", granularity, group, symmetric=symmetric)

    code = scheme.project(Target({"w": drawn(1, 4, 6) * alive}, alive={"w": alive}))

    # Column 2 is gone as a whole: groups lie in the columns 0 1, 3 4 and 5.
    assert code.bits() == 5 * 4 + scales * (32 if symmetric else 36)
    assert not code.decode()["w"][~alive].any()


@pytest.mark.parametrize("form", [form for form in FORMS if "scale" in form or "zero point" in form])
def test_of_nothing_no_scale_is_stored(form):
    code = FORMS[form].project(Target({"w": torch.zeros(3, 4)}, alive={"w": torch.zeros(3, 4, dtype=torch.bool)}))

    assert code.bits() == 0 == FORMS[form].project(Target({"w": torch.zeros(0, 4)})).bits()
    assert not code.decode()["w"].any()
