"""ONNX files made by hand: a chain of square matrix products costs what its length says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper


def write_chain(path: Path, products: int, size: int, batch: int | str) -> Path:
    generator = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(generator.standard_normal((size, size)).astype(np.float32) / size**0.5, f"w{i}")
        for i in range(products)
    ]
    names = ["x", *(f"h{i}" for i in range(products - 1)), "y"]
    nodes = [helper.make_node("MatMul", [names[i], f"w{i}"], [names[i + 1]]) for i in range(products)]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, size])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@pytest.fixture(scope="session")
def chain(tmp_path_factory) -> Callable[..., Path]:
    """chain(products, size=192, batch="batch"): a file of that many products."""
    folder = tmp_path_factory.mktemp("chains")

    def make(products: int, size: int = 192, batch: int | str = "batch") -> Path:
        path = folder / f"{products}-{size}-{batch}.onnx"
        return path if path.exists() else write_chain(path, products, size, batch)

    return make
