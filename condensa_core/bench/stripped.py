"""How long an ONNX file would be without what no runtime needs: doc strings, metadata and intermediate shapes.

Counted on the wire format, so nothing is loaded or written. Source: onnx/onnx.proto3 of ONNX 1.23 (field numbers).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from condensa_core.bench.protobuf import fields


@dataclass(frozen=True)
class _Kind:
    """Of the messages of a kind: the fields to leave out, and those that hold messages to look into."""

    dropped: frozenset[int] = frozenset()
    inner: dict[int, _Kind] = field(default_factory=dict)


_VALUE: Final = _Kind(frozenset({3, 4}))
_TENSOR: Final = _Kind(frozenset({12, 16}))
_GRAPH: Final = _Kind(frozenset({10, 13, 16}))
_ATTRIBUTE: Final = _Kind(inner={6: _GRAPH, 11: _GRAPH})
_NODE: Final = _Kind(frozenset({6, 9}), {5: _ATTRIBUTE})
_GRAPH.inner.update({1: _NODE, 5: _TENSOR, 11: _VALUE, 12: _VALUE})
_FUNCTION: Final = _Kind(frozenset({8, 14}), {7: _Kind(frozenset({6, 9}))})
_MODEL: Final = _Kind(frozenset({6, 14}), {7: _GRAPH, 25: _FUNCTION})


def stripped_bytes(model: memoryview) -> int:
    """The length of the model in bytes, stripped as every file of this project is; ValueError for what is no message.

    The same as `export.provenance.strip` leaves.
    """
    return len(model) - _saved(model, _MODEL)


def _saved(message: memoryview, kind: _Kind) -> int:
    """The bytes that leave a message; what contains it becomes shorter in the number of its length, too."""
    saved = 0
    for number, value in fields(message):
        if isinstance(value, int):
            continue
        if number in kind.dropped:
            saved += _varint_length(number << 3) + _varint_length(len(value)) + len(value)
        elif number in kind.inner:
            within = _saved(value, kind.inner[number])
            saved += within + _varint_length(len(value)) - _varint_length(len(value) - within)
    return saved


def _varint_length(value: int) -> int:
    return max(1, -(-value.bit_length() // 7))
