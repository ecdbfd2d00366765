"""ONNX models changed as what they are: nodes, attributes, shapes, weights, names, where weights lie; and as bytes."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any, Final

from byte_mutations import mutated_bytes
from google.protobuf.message import DecodeError
from onnx import AttributeProto, TensorProto, helper
from onnx_models import models

_SIZES: Final = (0, 1, 2, 3, 5, -1, -2, 2**15, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, -(2**63))
_NAMES: Final = ("", "x", "y", "w", "b", "nothing", "x" * 3000, "a\x1b[2Jb", "\u202ea", "<b>", "../x", "a/b", "é")
_TEXTS: Final = ("", "ai.onnx", "com.microsoft", "nothing", "ij,jk->ik", "nearest", "x" * 2000, "\x1b[31m")
_LOCATIONS: Final = (
    "../weights.bin", "/etc/passwd", "/etc/hostname", "", ".", "..", "weights.bin/../../x", "missing.bin", "link",
    "w\x1b[2J",
    "/proc/self/mem", "/dev/zero", "/dev/stdin", "weights.bin ", "./weights.bin", "C:\\x", "~/x", "x" * 5000, "\u202e",
)  # fmt: skip
_OPERATORS: Final = (
    "Add", "MatMul", "Conv", "Gather", "Reshape", "Loop", "If", "Scan", "Resize", "Upsample", "ConvTranspose",
    "TopK", "Tile",
    "Expand", "Range", "OneHot", "NonMaxSuppression", "Unique", "StringNormalizer", "GRU", "RNN", "Attention",
    "GridSample", "Col2Im",
    "DFT", "MelWeightMatrix", "QLinearConv", "QLinearMatMul", "MatMulInteger", "ScatterElements", "GatherND",
    "Compress", "Nothing", "",
    "Split", "Concat", "Transpose", "RoiAlign", "MaxUnpool", "LRN", "InstanceNormalization", "CastLike", "Where",
    "Trilu", "CumSum",
)  # fmt: skip


def _size(draw: random.Random) -> int:
    return draw.choice(_SIZES) if draw.random() < 0.8 else draw.randint(-5, 5000)


def _node(model: Any, draw: random.Random) -> Any:
    return draw.choice(model.graph.node)


def other_operator(model: Any, draw: random.Random) -> None:
    _node(model, draw).op_type = draw.choice(_OPERATORS)


def attribute_value(model: Any, draw: random.Random) -> None:
    found = [attribute for node in model.graph.node for attribute in node.attribute]
    if not found:
        return other_operator(model, draw)
    attribute = draw.choice(found)
    if attribute.type == AttributeProto.INT:
        attribute.i = _size(draw)
    elif attribute.type == AttributeProto.INTS:
        kept = list(attribute.ints)[: draw.randint(0, 4)]
        del attribute.ints[:]
        attribute.ints.extend([*kept, *(_size(draw) for _ in range(draw.randint(0, 4)))])
    elif attribute.type == AttributeProto.STRING:
        attribute.s = draw.choice(_TEXTS).encode()
    elif attribute.type == AttributeProto.GRAPH:
        del attribute.g.node[draw.randrange(len(attribute.g.node))]
    return None


def attribute_more(model: Any, draw: random.Random) -> None:
    name = draw.choice(
        ("axis", "kernel_shape", "pads", "strides", "dilations", "group", "to", "perm", "hidden_size", "num_outputs")
    )
    value: Any = draw.choice((_size(draw), [_size(draw), _size(draw)], 1.5, "x", [1.0, float("nan")]))
    _node(model, draw).attribute.append(helper.make_attribute(name, value))


def attribute_type(model: Any, draw: random.Random) -> None:
    found = [attribute for node in model.graph.node for attribute in node.attribute]
    if found:
        draw.choice(found).type = draw.randrange(1, 15)


def input_names(model: Any, draw: random.Random) -> None:
    """A node reads something else: a later output makes a cycle, a name that nobody writes is missing."""
    node = _node(model, draw)
    written = [name for other in model.graph.node for name in other.output]
    names = [*written, *(tensor.name for tensor in model.graph.initializer), *_NAMES]
    if node.input and draw.random() < 0.8:
        node.input[draw.randrange(len(node.input))] = draw.choice(names)
    else:
        node.input.append(draw.choice(names))


def output_names(model: Any, draw: random.Random) -> None:
    node = _node(model, draw)
    written = [name for other in model.graph.node for name in other.output]
    node.output[draw.randrange(len(node.output))] = draw.choice([*written, *_NAMES])


def self_cycle(model: Any, draw: random.Random) -> None:
    node = _node(model, draw)
    node.input[draw.randrange(len(node.input))] = node.output[0]


def nodes_moved(model: Any, draw: random.Random) -> None:
    nodes = list(model.graph.node)
    form = draw.choice(("shuffled", "twice", "left out", "reversed"))
    if form == "shuffled":
        draw.shuffle(nodes)
    elif form == "twice":
        nodes += [copy.deepcopy(draw.choice(nodes)) for _ in range(draw.choice((1, 30)))]
    elif form == "left out":
        nodes.pop(draw.randrange(len(nodes)))
    else:
        nodes.reverse()
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def weight_shape(model: Any, draw: random.Random) -> None:
    tensor = draw.choice(model.graph.initializer)
    dims = [*tensor.dims, 1] if draw.random() < 0.2 else list(tensor.dims) or [1]
    dims[draw.randrange(len(dims))] = _size(draw)
    del tensor.dims[:]
    tensor.dims.extend(dims if draw.random() < 0.9 else [2**40] * 3)


def weight_type(model: Any, draw: random.Random) -> None:
    draw.choice(model.graph.initializer).data_type = draw.choice((0, *range(1, 28), 99, 2**31 - 1))


def weight_bytes(model: Any, draw: random.Random) -> None:
    tensor = draw.choice(model.graph.initializer)
    content = bytes(tensor.raw_data)
    tensor.raw_data = draw.choice(
        (b"", content[:-1], content * 2, draw.randbytes(len(content)), b"\xff" * len(content))
    )


def weight_field(model: Any, draw: random.Random) -> None:
    """Numbers in a field of another type than the tensor's, or in two."""
    tensor = draw.choice(model.graph.initializer)
    if draw.random() < 0.5:
        tensor.ClearField("raw_data")
    getattr(tensor, draw.choice(("float_data", "int32_data", "int64_data", "double_data", "uint64_data"))).extend(
        [1, 2, 3]
    )
    if draw.random() < 0.3:
        tensor.string_data.append(b"x")


def weight_names(model: Any, draw: random.Random) -> None:
    names = [tensor.name for tensor in model.graph.initializer]
    draw.choice(model.graph.initializer).name = draw.choice([*names, *_NAMES])


def weight_left_out(model: Any, draw: random.Random) -> None:
    del model.graph.initializer[draw.randrange(len(model.graph.initializer))]


def weight_outside(model: Any, draw: random.Random) -> None:
    """Its numbers in another file, wherever that is, at offsets and of lengths that no file has."""
    tensor = draw.choice(model.graph.initializer)
    tensor.data_location = TensorProto.EXTERNAL
    if draw.random() < 0.8:
        tensor.ClearField("raw_data")
    del tensor.external_data[:]
    numbers = ("0", "4", "-1", "99999999999999999999", "x", "", "1e9", "٣")
    for key, choices in (("location", _LOCATIONS), ("offset", numbers), ("length", numbers), ("checksum", ("0",))):
        if draw.random() < 0.7:
            value = "weights.bin" if key == "location" and draw.random() < 0.3 else draw.choice(choices)
            tensor.external_data.add(key=key, value=value)


def weight_sparse(model: Any, draw: random.Random) -> None:
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(draw.choice(model.graph.initializer))
    sparse.indices.CopyFrom(helper.make_tensor("i", TensorProto.INT64, [2], [_size(draw), 1]))
    sparse.dims.extend([_size(draw), 3])


def input_shape(model: Any, draw: random.Random) -> None:
    kind = draw.choice([*model.graph.input, *model.graph.output]).type.tensor_type
    form = draw.random()
    if form < 0.2:
        kind.elem_type = draw.choice((0, *range(1, 28), 99))
    elif form < 0.3:
        kind.ClearField("shape")
    elif not kind.shape.dim or form < 0.4:
        kind.shape.dim.add().dim_value = _size(draw)
    else:
        dimension = draw.choice(kind.shape.dim)
        if draw.random() < 0.7:
            dimension.dim_value = _size(draw)
        else:
            dimension.dim_param = draw.choice(_NAMES)


def interface(model: Any, draw: random.Random) -> None:
    """An input or output renamed, doubled, left out, or of no tensor type."""
    values = draw.choice((model.graph.input, model.graph.output))
    form = draw.choice(("name", "twice", "out", "sequence"))
    if not values or form == "sequence":
        model.graph.input.append(helper.make_tensor_sequence_value_info("q", TensorProto.FLOAT, None))
    elif form == "name":
        draw.choice(values).name = draw.choice(_NAMES)
    elif form == "twice":
        values.append(copy.deepcopy(draw.choice(values)))
    else:
        del values[draw.randrange(len(values))]


def versions(model: Any, draw: random.Random) -> None:
    if draw.random() < 0.5:
        model.ir_version = draw.choice((0, 1, 3, 99, 2**40, -1))
    else:
        del model.opset_import[draw.randrange(len(model.opset_import)) :]
        for _ in range(draw.randint(0, 3)):
            model.opset_import.add(domain=draw.choice(_TEXTS), version=draw.choice((0, 1, 7, 20, 99, 2**40, -1)))


def nesting(model: Any, draw: random.Random) -> None:
    """Graphs inside graphs, up to 150 deep; protobuf's own limit is 100 messages."""
    inner = copy.deepcopy(model.graph)
    for _ in range(draw.choice((1, 10, 40, 150))):
        branch = helper.make_graph([helper.make_node("If", ["true"], ["y"], then_branch=inner)], "g", [], [])
        branch.output.extend(model.graph.output[:1])
        inner = branch
    model.graph.node.append(
        helper.make_node("If", ["true"], ["q"], then_branch=inner, else_branch=copy.deepcopy(model.graph))
    )


def function(model: Any, draw: random.Random) -> None:
    """A function of the model's own, which may call itself."""
    calls = draw.choice(("F", "Relu"))
    body = [helper.make_node(calls, ["a"], ["b"], domain="own" if calls == "F" else "")]
    model.functions.append(helper.make_function("own", "F", ["a"], ["b"], body, [helper.make_opsetid("", 20)]))
    model.opset_import.add(domain="own", version=1)
    node = _node(model, draw)
    node.op_type, node.domain = "F", "own"


MUTATIONS: Final[tuple[Callable[[Any, random.Random], None], ...]] = (
    other_operator, attribute_value, attribute_value, attribute_more, attribute_type, input_names, input_names,
    output_names, self_cycle, nodes_moved, weight_shape, weight_shape, weight_type, weight_bytes, weight_field,
    weight_names, weight_left_out, weight_outside, weight_outside, weight_sparse, input_shape, input_shape, interface,
    versions, nesting, function,
)  # fmt: skip


def mutated_onnx(draw: random.Random) -> tuple[str, bytes]:
    """The name of the last change to one of the models, and the file: one to three changes, or of bytes."""
    if draw.random() < 0.25:
        name, content = mutated_bytes([model.SerializeToString() for model in models()], draw)
        return name, content
    model = copy.deepcopy(draw.choice(models()))
    name = ""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        if not (model.graph.node and model.graph.initializer):
            break
        change = draw.choice(MUTATIONS)
        name = change.__name__.replace("_", " ")
        try:
            change(model, draw)
        except (ValueError, IndexError, DecodeError):  # of a model that another change left bare, or made too deep
            continue
    return f"model {name}", model.SerializeToString()
