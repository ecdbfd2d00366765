"""Which forwards can be given one tensor, and what those are told that cannot."""

import inspect

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from condensa_core.errors import WorkloadError
from condensa_core.workload.single_input import check_single_input

KINDS = ["{}", "{}=None", "*{}", "{}", "{}=None", "**{}"]  # in the order a signature may have them


def taking(signature):
    names = {"nn": nn}
    exec(f"class Taking(nn.Module):\n    def forward(self, {signature}):\n        return 0", names)
    return names["Taking"]()


@given(counts=st.tuples(*(st.integers(0, most) for most in (2, 2, 1, 2, 1, 1))))
def test_it_refuses_exactly_the_forwards_that_python_cannot_call_with_one_tensor(counts):
    parts = [kind.format(f"p{place}{i}") for place, kind in enumerate(KINDS) for i in range(counts[place])]
    keywords = counts[3] + counts[4]
    if keywords and not counts[2]:
        parts.insert(counts[0] + counts[1], "*")
    module = taking(", ".join(parts))
    try:
        inspect.signature(module.forward).bind(torch.zeros(1))
        callable_with_one = True
    except TypeError:
        callable_with_one = False

    if callable_with_one:
        check_single_input(module, "own.py:Taking")
    else:
        with pytest.raises(WorkloadError, match="Taking needs"):
            check_single_input(module, "own.py:Taking")


@pytest.mark.parametrize(
    ("signature", "kind"),
    [
        ("input_ids, attention_mask", "a language model"),
        ("input_ids, token_type_ids, position_ids", "a language model"),
        ("src, tgt", "an encoder-decoder"),
        ("input_ids, attention_mask, decoder_input_ids", "an encoder-decoder"),
        ("images, targets", "a detector"),
        ("x, image_sizes", "a detector"),
    ],
)
def test_the_advice_fits_the_kind_of_model(signature, kind):
    with pytest.raises(WorkloadError) as refusal:
        check_single_input(taking(signature), "m")

    assert refusal.value.hint.startswith(f"for {kind}: ")
    assert f"({signature})" in refusal.value.message
