from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from condensa_core.bench.onnx_header import External, read_header
from condensa_core.bench.tensor_types import TensorSignature
from condensa_core.errors import UsageError

KINDS = [TensorProto.FLOAT, TensorProto.INT64, TensorProto.FLOAT16, TensorProto.BOOL, TensorProto.BFLOAT16]
SIZES = st.integers(0, 2**31) | st.sampled_from(["batch", "time"]) | st.none()
VALUES = st.tuples(st.sampled_from(KINDS), st.lists(SIZES, max_size=4))


@given(values=st.lists(VALUES, max_size=4))
def test_inputs_are_those_that_onnx_reads(values, tmp_path_factory):
    inputs = [helper.make_tensor_value_info(f"x{i}", kind, shape) for i, (kind, shape) in enumerate(values)]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    path = tmp_path_factory.mktemp("header") / "m.onnx"
    onnx.save(helper.make_model(helper.make_graph([], "g", inputs, [output])), path)

    header = read_header(path)

    known = [
        TensorSignature(f"x{i}", TensorProto.DataType.Name(kind), tuple(shape))
        for i, (kind, shape) in enumerate(values)
    ]
    assert list(header.inputs) == known
    assert header.outputs == (TensorSignature("y", "FLOAT", (1,)),)


def test_element_types_have_the_numbers_of_onnx():
    from condensa_core.bench.onnx_header import _ELEMENTS

    assert (
        dict(zip(_ELEMENTS, range(len(_ELEMENTS)), strict=True)).items() <= dict(TensorProto.DataType.items()).items()
    )


def test_weights_are_counted_wherever_they_are(tmp_path):
    # given weights of the graph, of a constant, of a branch and of a sparse tensor, one packed in half bytes
    def constant(name: str, size: int) -> onnx.NodeProto:
        return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.zeros(size, np.float32), name))

    def branch(name: str) -> onnx.GraphProto:
        shape = helper.make_tensor_value_info(name, TensorProto.FLOAT, [3])
        return helper.make_graph([constant(name, 3)], name, [], [shape])

    packed = helper.make_tensor("w4", TensorProto.INT4, [5], [1, 2, 3, 4, 5])
    sparse = helper.make_sparse_tensor(
        helper.make_tensor("s", TensorProto.FLOAT, [2], [1.0, 2.0]),
        helper.make_tensor("si", TensorProto.INT64, [2], [0, 3]), [9],
    )  # fmt: skip
    graph = helper.make_graph(
        [
            constant("c", 7),
            helper.make_node("If", ["flag"], ["z"], then_branch=branch("a"), else_branch=branch("b")),
        ],
        "g",
        [
            helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [2, 2]),
        ],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [3])],
        [numpy_helper.from_array(np.zeros((2, 2), np.float32), "w"), packed],
        sparse_initializer=[sparse],
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph), path)

    header = read_header(path)

    assert header.weight_bytes == 4 * (2 * 2 + 7 + 3 + 3 + 2) + math.ceil(5 / 2)
    assert [value.name for value in header.inputs] == ["flag"]  # a weight with a value is no input
    assert header.nodes == 4
    assert header.external == ()


def test_weights_in_other_files_are_told(tmp_path):
    generator = np.random.default_rng(0)
    weight = numpy_helper.from_array(generator.standard_normal((64, 64)).astype(np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64])], [weight],
    )  # fmt: skip
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph), path, save_as_external_data=True, location="m.data")

    header = read_header(path)

    assert header.external == (External("w", "m.data", 0, 64 * 64 * 4),)
    assert header.weight_bytes == 64 * 64 * 4


def test_a_model_cut_anywhere_is_refused_or_lacks_its_end(chain, tmp_path):
    whole = chain(1, 4).read_bytes()
    path = tmp_path / "m.onnx"

    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        try:
            header = read_header(path)
        except UsageError as refusal:
            assert str(path) in refusal.message
        else:
            # what follows the graph is the version of the operators, which a runtime misses
            assert header == read_header(chain(1, 4))


@given(content=st.binary(min_size=1, max_size=60))
def test_any_bytes_are_refused_in_words(content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.onnx"
    path.write_bytes(content)

    with pytest.raises(UsageError, match="is not an ONNX model"):
        read_header(path)
