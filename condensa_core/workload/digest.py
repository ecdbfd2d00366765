"""Content hashes of tensors, by which data sets and weights are recognised."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor


def content_digest(named: Iterable[tuple[str, Tensor]]) -> str:
    """SHA-256 (hex) over the names, types, shapes and bytes of tensors, in the order given."""
    digest = hashlib.sha256()
    for name, tensor in named:
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        content = tensor.detach().cpu().contiguous().flatten()
        digest.update(content.view(torch.uint8).numpy().data)  # bytes: numpy has no bfloat16
    return digest.hexdigest()
