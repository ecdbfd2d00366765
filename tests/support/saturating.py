"""Integer kernels of x86 without VNNI, in numpy: a file of quantize nodes as such a processor computes it.

The instruction multiplies unsigned bytes with signed ones and adds neighbouring products in 16 bits, which saturate
(VPMADDUBSW). Signed activations are shifted by 128 to be unsigned.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper


class Levels(NamedTuple):
    """Integers, and the floats that they stand for: (values - zero) * scale."""

    values: np.ndarray
    scale: np.ndarray
    zero: int


class SaturatingRunner:
    """Runs MatMul, Add and Relu between quantize nodes; a product of two dequantized tensors is taken in integers."""

    def __init__(self, path: Path) -> None:
        self.graph = onnx.load(path).graph
        self.runtime, self.provider, self.load_s = "numpy", "VPMADDUBSW", 0.0

    def feed(self, feeds):
        self.feeds = dict(feeds)

    def run(self):
        known = {t.name: numpy_helper.to_array(t) for t in self.graph.initializer} | self.feeds
        levels: dict[str, Levels] = {}
        for node in self.graph.node:
            inputs = [known.get(name) for name in node.input]
            if node.op_type == "QuantizeLinear":
                x, scale, zero = inputs
                reach = np.iinfo(zero.dtype)
                known[node.output[0]] = np.clip(np.rint(x / scale) + int(zero), reach.min, reach.max).astype(zero.dtype)
            elif node.op_type == "DequantizeLinear":
                values, scale, zero = inputs
                levels[node.output[0]] = Levels(values, scale, int(np.max(zero)))
                known[node.output[0]] = ((values.astype(np.int64) - int(np.max(zero))) * scale).astype(np.float32)
            elif node.op_type == "MatMul":
                x, w = (levels[name] for name in node.input)
                known[node.output[0]] = (saturating_product(x, w) * x.scale * w.scale).astype(np.float32)
            else:
                known[node.output[0]] = {"Add": np.add, "Relu": lambda x: np.maximum(x, 0)}[node.op_type](*inputs)
        self.known = known

    def outputs(self):
        return {value.name: self.known[value.name] for value in self.graph.output}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def saturating_product(x: Levels, w: Levels) -> np.ndarray:
    """The integers of (x - zero) @ w, as sums of pairs of products that are cut off at 16 bits (w has zero 0)."""
    shift = 128 if x.values.dtype == np.int8 else 0
    a, b = x.values.astype(np.int64) + shift, w.values.astype(np.int64)
    products = a[:, :, np.newaxis] * b[np.newaxis]
    pairs = np.clip(products[:, 0::2] + products[:, 1::2], -(2**15), 2**15 - 1)
    return pairs.sum(1) - (x.zero + shift) * b.sum(0)
