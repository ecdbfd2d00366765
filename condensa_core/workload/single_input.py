"""Models that are given one tensor: what to do with those whose forward needs more."""

from __future__ import annotations

import inspect
import re
from typing import Final

from torch import nn

from condensa_core.errors import WorkloadError


def check_single_input(module: nn.Module, name: str) -> None:
    """WorkloadError unless the forward can be called with one tensor: it names the arguments, and what to do.

    The advice goes by the names that detectors, encoder-decoders and language models give their arguments.
    """
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):  # compiled forwards may have none; the call itself will tell
        return
    required = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    positional = [p for p in parameters if p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD)]
    if positional and all(p is positional[0] for p in required):
        return
    names = ", ".join(p.name for p in required) or "none"
    raise WorkloadError(
        f"the forward of {name} needs {len(required)} inputs ({names}), and this version gives a model one tensor",
        hint=_advice([p.name for p in required]),
    )


def _advice(names: list[str]) -> str:
    for pattern, advice in _ADVICE:
        if any(re.search(pattern, name) for name in names):
            return advice
    return _WRAP.format("and makes the others itself")


_WRAP: Final = "name a module whose forward takes one tensor, calls this model {}, and returns the scores"
_ADVICE: Final = (
    (
        r"^(image|target|box|proposal)|_sizes$|_boxes$",
        "for a detector: compress its backbone, a module that maps one image tensor to scores, and put it back then",
    ),
    (
        r"^(tgt|trg|decoder_|memory|encoder_)",
        "for an encoder-decoder: "
        + _WRAP.format("with a fixed start of the target sequence")
        + "; or compress its encoder alone",
    ),
    (
        r"mask|token_type|position_ids",
        "for a language model: " + _WRAP.format("with a mask that it makes of the token ids (torch.ones_like(ids))"),
    ),
)
