from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from condensa_core.bench.onnx_graph import DEEPEST, ELEMENTS, External, read_graphs
from condensa_core.bench.onnx_header import read_header
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
    assert dict(zip(ELEMENTS, range(len(ELEMENTS)), strict=True)).items() <= dict(TensorProto.DataType.items()).items()


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
            helper.make_node("Constant", [], ["f"], value_floats=[0.5] * 6),
            helper.make_node("Constant", [], ["i"], value_ints=[3, -4]),
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

    assert header.weight_bytes == 4 * (2 * 2 + 7 + 3 + 3 + 2) + math.ceil(5 / 2) + 6 * 4 + 2 * 8
    assert [value.name for value in header.inputs] == ["flag"]  # a weight with a value is no input
    assert header.nodes == 6
    assert header.external == ()


def test_an_input_is_hidden_by_a_weight_of_its_graph_alone(tmp_path):
    # given a constant whose tensor has the name of an input, and a branch with a weight of another's
    two = helper.make_node("Constant", [], ["k"], value=helper.make_tensor("value", TensorProto.FLOAT, [], [2.0]))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])
    weight = numpy_helper.from_array(np.float32(3), "key")
    branch = helper.make_graph([helper.make_node("Mul", ["value", "key"], ["y"])], "b", [], [y], [weight])
    nodes = [two, helper.make_node("If", ["flag"], ["y"], then_branch=branch, else_branch=branch)]
    names = {"flag": [], "value": ["batch", 4], "key": ["batch", 4]}
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT if shape else TensorProto.BOOL, shape)
        for name, shape in names.items()
    ]
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", inputs, [y])), path)

    assert [value.name for value in read_header(path).inputs] == ["flag", "value", "key"]


@pytest.mark.parametrize("depth", [DEEPEST, DEEPEST + 1, 2000])
def test_graphs_are_read_as_deep_as_runtimes_do(tmp_path, depth):
    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2]) + length(len(content)) + content

    def length(size: int) -> bytes:
        return bytes([size]) if size < 128 else bytes([size & 127 | 128]) + length(size >> 7)

    graph = field(1, field(4, b"Identity"))
    for _ in range(depth):
        graph = field(1, field(4, b"If") + field(5, field(1, b"then_branch") + field(6, graph)))
    path = tmp_path / "deep.onnx"
    path.write_bytes(field(7, graph))

    if depth <= DEEPEST:
        assert read_header(path).nodes == depth + 1
    else:
        with pytest.raises(UsageError, match="nested more than"):
            read_header(path)
        with pytest.raises(DecodeError):
            onnx.load(path)


def interval(tmp_path, nodes, stored, kind=TensorProto.FLOAT):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, ["batch", 4])],
        [helper.make_tensor_value_info("q", TensorProto.INT8, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in stored.items()],
    )
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    return read_header(tmp_path / "m.onnx").inputs[0].interval


TURN = helper.make_node("Transpose", ["x"], ["t"])


@pytest.mark.parametrize(
    ("nodes", "stored", "expected"),
    [
        ([helper.make_node("QuantizeLinear", ["x", "s"], ["q"])], {"s": np.float32(0.5)}, (0, 127.5)),
        (
            [TURN, helper.make_node("QuantizeLinear", ["t", "s", "z"], ["q"])],
            {"s": np.float32(0.5), "z": np.int8(28)},
            (-78, 49.5),
        ),
        (
            [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"])],
            {"s": np.float16([2]), "z": np.uint8([255])},
            (-510, 0),
        ),
        (
            [
                helper.make_node("Constant", [], ["s"], value=helper.make_tensor("v", TensorProto.DOUBLE, [], [0.25])),
                helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            ],
            {"z": np.uint16(0)},
            (0, 65535 / 4),
        ),
        ([helper.make_node("QuantizeLinear", ["x", "s"], ["q"], axis=1)], {"s": np.ones(4, np.float32)}, None),
        ([helper.make_node("QuantizeLinear", ["x", "s"], ["q"])], {"s": np.float32(0)}, None),
        ([helper.make_node("Relu", ["x"], ["q"])], {}, None),
    ],
)
def test_an_input_is_meant_to_fill_the_grid_of_its_quantizer(tmp_path, nodes, stored, expected):
    assert interval(tmp_path, nodes, stored) == expected


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.INT8])
def test_single_values_are_read_however_they_are_stored(tmp_path, kind):
    for raw in (False, True):
        stored = np.array([-3], helper.tensor_dtype_to_np_dtype(kind)).tobytes() if raw else [-3]
        value = helper.make_tensor("z", kind, [1], stored, raw=raw)
        graph = helper.make_graph([], "g", [], [helper.make_tensor_value_info("y", 1, [1])], [value])
        onnx.save(helper.make_model(graph), tmp_path / "m.onnx")

        assert read_graphs(tmp_path / "m.onnx")[0].weights[0].scalar == -3


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
