"""Models that compute next to nothing, to tell what a runtime takes whatever it runs."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Final

import numpy as np

from condensa_core.bench.inputs import Feeds
from condensa_core.bench.model_file import Kind

NULL_FEEDS: Final[Feeds] = {"x": np.zeros(1, np.float32)}
_VARINT, _BYTES = 0, 2


@lru_cache
def null_model(kind: Kind) -> bytes:
    """The file of y = x + x, for one number: a sum, because an identity needs no kernel at all."""
    return _onnx() if kind == "onnx" else _torch_program()


def _onnx() -> bytes:
    """Written field by field, as the header is read: onnx takes a second to load. Source: onnx.proto3 of ONNX 1.23."""
    one = _part(1, _part(1, 1))  # a shape of one dimension of size 1
    kind = _part(2, _part(1, _part(1, 1) + _part(2, one)))  # of a tensor of FLOAT
    node = _part(1, b"x") + _part(1, b"x") + _part(2, b"y") + _part(4, b"Add")
    graph = _part(1, node) + _part(2, b"null") + _part(11, _part(1, b"x") + kind) + _part(12, _part(1, b"y") + kind)
    return _part(1, 8) + _part(7, graph) + _part(8, _part(2, 17))  # versions of the format and of its operators


def _part(field: int, value: int | bytes) -> bytes:
    """A field of a message; numbers and lengths below 128."""
    if isinstance(value, int):
        return bytes((field << 3 | _VARINT, value))
    return bytes((field << 3 | _BYTES, len(value))) + value


def _torch_program() -> bytes:
    import torch

    class Null(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + x

    file = io.BytesIO()
    torch.export.save(torch.export.export(Null(), (torch.zeros(1),)), file)
    return file.getvalue()
