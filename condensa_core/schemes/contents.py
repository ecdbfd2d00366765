"""What a code decides, whatever it is composed of: narrow dtypes, factors, how papers count it, what it is made of."""

from __future__ import annotations

import torch
from torch import Tensor

from condensa_core.schemes.channels import ChannelsCode
from condensa_core.schemes.compose import ComposedCode
from condensa_core.schemes.contract import Code, Tensors
from condensa_core.schemes.factored_form import factored_form
from condensa_core.schemes.half import HalfCode
from condensa_core.schemes.matrix_view import Factors
from condensa_core.schemes.sparse import SparseCode
from condensa_core.schemes.sum import SumCode
from condensa_core.schemes.terms import Plain, Term


def only_channels(code: Code) -> bool:
    """Whether a code says which units survive, and nothing of what their weights are."""
    return isinstance(code, ChannelsCode)


def narrow_of(code: Code) -> dict[str, torch.dtype]:
    """Name -> float16 or bfloat16, for tensors that are stored in it and computed with as before.

    They may be trained on and rounded anew. Factors are among them, under the names of `factored_form.factor_names`.
    """
    last = code.codes[-1] if isinstance(code, ComposedCode) else code
    return {name: half.dtype for name, half in last.halves.items()} if isinstance(last, HalfCode) else {}


def factors_of(code: Code) -> dict[str, Factors]:
    """Parameter name -> decoded factors, for parameters that are one product: two layers can stand for it.

    Also where the factors themselves are pruned, quantized, in a code book: whatever a composition made of them.
    """
    form = factored_form(code)
    return {} if form is None else form.factors


def leaves_little_free(code: Code) -> bool:
    """Whether the code is its structure alone, as of a code book: fine-tuning at fixed structure can mend little."""
    last = code.codes[-1] if isinstance(code, ComposedCode) else code
    return not last.values().tensors and not narrow_of(code)


def counted_bits(code: Code) -> int:
    """`bits()` without zeros and their positions: what papers divide by when they count non-zero weights only."""
    if isinstance(code, SparseCode):
        return sum(8 * t.element_size() * int(t.count_nonzero()) for t in code.survivors.values())
    if isinstance(code, SumCode):
        return sum(counted_bits(summand) for summand in code.codes)
    if isinstance(code, ComposedCode):
        outer = [c for c in code.codes[:-1] if not isinstance(c, SparseCode)]
        beside = sum(8 * t.element_size() * int(t.count_nonzero()) for t in code.passed.tensors.values())
        return sum(c.structure_bits() for c in outer) + counted_bits(code.codes[-1]) + beside
    if isinstance(code, HalfCode):
        return 16 * sum(int(half.count_nonzero()) for half in code.halves.values())
    return code.bits()


def moved_terms(code: Code, moves: Tensors) -> dict[str, tuple[Term, ...]]:
    """`code.terms()` after the tensors of `decode()` moved by `moves`, as the code's freedom allows."""
    if isinstance(code, SumCode):
        return code.moved_terms(moves)
    if isinstance(code, ComposedCode) and isinstance(code.codes[-1], SumCode):
        inner = code.codes[-1].decode()
        if inner.keys() <= moves.keys():  # else it sums up factors, which are held
            alone = {name: (Plain(code.decode()[name] + move),) for name, move in moves.items() if name not in inner}
            return {**code.codes[-1].moved_terms({name: moves[name] for name in inner}), **alone}
    terms, dense = code.terms(), code.decode()
    return {name: (Plain(dense[name] + moves[name]),) if _any(moves[name]) else terms[name] for name in dense}


def _any(moves: Tensor) -> bool:
    return bool(moves.any())
