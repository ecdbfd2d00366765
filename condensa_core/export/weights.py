"""The weights alone, as safetensors."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

import torch
from torch import nn

from condensa_core.errors import ExportFailed
from condensa_core.export.publish import publish


def save_weights(model: nn.Module, path: str | Path, float16_parameters: Set[str] = frozenset()) -> None:
    """Write the whole `state_dict` (tied tensors once per name), the named parameters as float16.

    `load_state_dict` of the file gives the same values back exactly: ExportFailed if a named parameter does not exist,
    or holds values that float16 cannot represent.
    """
    import safetensors.torch

    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    for name in sorted(float16_parameters):
        if name not in state:
            raise ExportFailed(f"float16 storage asked for {name!r}, which the model does not have")
        half = state[name].to(torch.float16)
        if not torch.equal(half.to(state[name].dtype), state[name]):
            raise ExportFailed(f"{name} holds values that float16 cannot represent: storing it would change them")
        state[name] = half
    publish(Path(path), safetensors.torch.save(state))
