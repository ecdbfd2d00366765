"""The weights alone, as safetensors."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

from torch import nn

from condensa_core.export.float16 import halved
from condensa_core.export.publish import publish


def save_weights(model: nn.Module, path: str | Path, float16_parameters: Set[str] = frozenset()) -> None:
    """Write the whole `state_dict` (tied tensors once per name), the named parameters as float16.

    `load_state_dict` of the file gives the same values back exactly: ExportFailed if a named parameter does not exist,
    or holds values that float16 cannot represent.
    """
    import safetensors.torch

    values = model.state_dict()
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in values.items()}
    state |= {name: halved(name, values).contiguous() for name in float16_parameters}
    publish(Path(path), safetensors.torch.save(state))
