"""Kernels find the modules that they compute for by what provably reaches them, and by nothing else."""

from __future__ import annotations

import pytest

from condensa_core.bench.layer_names import Place, joined, places_of
from condensa_core.bench.onnx_nodes import Node, Nodes, Weight
from condensa_core.bench.origins import module_of


def stored(*shape, element="FLOAT", value=None):
    return Weight(
        shape, element, None if value is None else memoryview(bytes([value]) * 4 * Weight(shape, element).elements)
    )


def graph(*nodes, weights):
    made = [Node(name, kind, tuple(read), (output,), *(noted or [None])) for name, kind, read, output, *noted in nodes]
    return Nodes(tuple(made), weights, ("x",))


def modules(original, optimised):
    """Of each kernel of the optimised graph."""
    return [place.module for place in places(original, optimised)]


def places(original, optimised):
    return places_of([(node.name, node) for node in optimised.nodes], optimised, original)


@pytest.mark.parametrize(
    ("parameter", "module"),
    [
        ("a.b.weight", "a.b"), ("a.b.weight.float16", "a.b"), ("a.b.bias.2.scale", "a.b"),
        ("a.0.weight.3.levels", "a.0"),
        ("lstm.weight_ih_l0", "lstm.l0"), ("lstm.weight_hh_l1_reverse", "lstm.l1"), ("attn.in_proj_weight", "attn"),
        ("val_3", None), ("onnx::Conv_25", None), ("weight", None),
    ],
)  # fmt: skip
def test_parameters_belong_to_modules_however_they_are_stored(parameter, module):
    assert module_of(parameter) == module


def test_a_fused_bias_and_activation_leave_the_next_product_alone():
    weights = {"val_0": stored(8, 32), "val_1": stored(32, 8), "up.bias": stored(32), "down.bias": stored(8)}
    original = graph(
        ("a", "MatMul", ["x", "val_0"], "h"), ("b", "Add", ["h", "up.bias"], "i"), ("c", "Gelu", ["i"], "g"),
        ("d", "MatMul", ["g", "val_1"], "j"), ("e", "Add", ["j", "down.bias"], "y"), weights=weights,
    )  # fmt: skip
    optimised = graph(
        ("a", "MatMul", ["x", "val_0"], "h"), ("BiasGelu_token_26", "BiasGelu", ["h", "up.bias"], "g"),
        ("d", "MatMul", ["g", "val_1"], "j"), ("e", "Add", ["j", "down.bias"], "y"), weights=weights,
    )  # fmt: skip

    assert modules(original, optimised) == ["up", "up", "down", "down"]


def test_what_lies_behind_a_kernel_of_unknown_extent_is_nobodys():
    original = graph(
        ("a", "MatMul", ["x", "first.weight"], "h"), ("b", "MatMul", ["h", "second.weight"], "i"),
        ("c", "Relu", ["i"], "y"), weights={"first.weight": stored(8, 8), "second.weight": stored(8, 8)},
    )  # fmt: skip
    optimised = graph(  # the weights have other values and names, as after a fusion nobody knows
        ("p", "Secret", ["x", "packed"], "hidden"), ("c", "Relu", ["hidden"], "y"), weights={"packed": stored(128)}
    )

    assert modules(original, optimised) == [None, None]


def test_a_part_that_needs_more_than_the_kernel_reads_is_not_its_part():
    original = graph(
        ("a", "MatMul", ["x", "first.weight"], "h"), ("b", "Add", ["h", "x"], "y"),
        weights={"first.weight": stored(8, 8)},
    )  # fmt: skip
    optimised = graph(("other", "Neg", ["unrelated"], "y"), weights={})

    assert modules(original, optimised) == [None]


def test_a_convolution_in_another_layout_is_known_by_the_value_that_it_makes():
    weights = {"a.weight": stored(8, 8, 3, 3), "b.weight": stored(8, 8, 3, 3)}
    original = graph(
        ("n1", "Conv", ["x", "a.weight"], "c"), ("n2", "Relu", ["c"], "r"),
        ("n3", "Conv", ["r", "b.weight"], "d"), ("n4", "Add", ["d", "r"], "y"), weights=weights,
    )  # fmt: skip
    reordered = {"reorder": stored(8, 8, 3, 3), "reorder_1": stored(8, 8, 3, 3)}
    optimised = graph(
        ("r_nchwc", "Conv", ["x", "reorder"], "t0"), ("d_nchwc", "Conv", ["t0", "reorder_1", "", "t0"], "t1"),
        ("ReorderOutput", "ReorderOutput", ["t1"], "y"), weights=reordered,
    )  # fmt: skip

    assert modules(original, optimised) == ["a", "b", None]


def test_half_precision_that_is_cast_to_float_keeps_its_modules():
    weights = {"val_0": stored(8, 32, element="FLOAT16"), "fc.bias": stored(32, element="FLOAT16")}
    original = graph(
        ("p", "MatMul", ["x", "val_0"], "h"), ("a", "Add", ["h", "fc.bias"], "i"), ("r", "Relu", ["i"], "y"),
        weights=weights,
    )  # fmt: skip
    optimised = graph(
        ("c", "Cast", ["x"], "InsertedPrecisionFreeCast_x"),
        ("p", "MatMul", ["InsertedPrecisionFreeCast_x", "FusedBack_val_0"], "InsertedPrecisionFreeCast_h"),
        ("a", "FusedAdd", ["InsertedPrecisionFreeCast_h", "FusedBack_fc.bias"], "InsertedPrecisionFreeCast_y"),
        ("d", "Cast", ["InsertedPrecisionFreeCast_y"], "y"),
        weights={"FusedBack_val_0": stored(8, 32), "FusedBack_fc.bias": stored(32)},
    )

    assert modules(original, optimised) == [None, "fc", "fc", None]


def test_integers_of_a_weight_belong_to_the_module_it_was():
    weights = {
        "x.step": stored(), "fc.weight.3.levels": stored(8, 32, element="INT8"), "fc.weight.3.scale": stored(32),
    }  # fmt: skip
    original = graph(
        ("q", "QuantizeLinear", ["x", "x.step"], "rounded"), ("d", "DequantizeLinear", ["rounded", "x.step"], "back"),
        ("w", "DequantizeLinear", ["fc.weight.3.levels", "fc.weight.3.scale"], "weight"),
        ("p", "MatMul", ["back", "weight"], "y"), weights=weights,
    )  # fmt: skip
    read = ["rounded", "fc.weight.3.levels", "x.step", "fc.weight.3.scale"]
    optimised = graph(
        ("q", "QuantizeLinear", ["x", "x.step"], "rounded"), ("p_token_4", "MatMulIntegerToFloat", read, "y"),
        weights=weights,
    )  # fmt: skip

    assert modules(original, optimised) == [None, "fc"]
    unpacked = graph(  # kernels that only prepare a weight are their module's, and make it nobody's less
        ("w", "DequantizeLinear", ["fc.weight.3.levels", "fc.weight.3.scale"], "weight"),
        ("p", "MatMul", ["back", "weight"], "y"), weights=weights,
    )  # fmt: skip
    assert modules(original, unpacked) == ["fc", "fc"]


def test_a_weight_under_another_name_is_known_by_its_content_and_its_transpose():
    original = graph(
        ("a", "MatMul", ["x", "a.weight"], "h"), ("b", "MatMul", ["h", "b.weight"], "y"),
        weights={"a.weight": stored(4, 8, value=1), "b.weight": stored(8, 4, value=2)},
    )  # fmt: skip
    optimised = graph(
        ("p", "Fused", ["x", "merged_0"], "t"), ("q", "Fused", ["t", "merged_1"], "u"),
        weights={"merged_0": stored(8, 4, value=1), "merged_1": stored(8, 4, value=2)},
    )  # fmt: skip

    assert modules(original, optimised) == ["a", "b"]


def test_what_the_exporter_noted_counts_where_a_weight_has_no_name_or_several_readers():
    weights = {"val_3": stored(8, 8), "embed.weight": stored(8, 8)}
    nodes = graph(
        ("a", "MatMul", ["x", "val_3"], "h", "encoder.0"), ("b", "Gather", ["embed.weight", "h"], "i", "embed"),
        ("c", "MatMul", ["i", "embed.weight"], "j", None), ("d", "Softmax", ["j"], "y", "head.softmax"),
        weights=weights,
    )  # fmt: skip

    assert modules(nodes, nodes) == ["encoder.0", "embed", None, None]  # other files may not note the last


def test_the_name_of_a_folded_convolution_counts_before_the_note_of_what_was_folded_into_it():
    nodes = graph(("n", "Conv", ["x", "a.weight"], "y", "norm"), weights={"a.weight": stored(8, 8, 3, 3)})

    assert modules(nodes, nodes) == ["a"]


def test_of_equal_weights_the_one_that_is_read_last_names_the_kernel():
    weights = {"down.bias": stored(8), "z.norm.weight": stored(8), "z.norm.bias": stored(8)}
    original = graph(
        ("a", "Add", ["x", "down.bias"], "h"), ("n", "LayerNormalization", ["h", "z.norm.weight", "z.norm.bias"], "y"),
        weights=weights,
    )  # fmt: skip
    optimised = graph(
        ("s", "SkipLayerNormalization", ["x", "z.norm.weight", "z.norm.bias", "down.bias"], "y"), weights=weights
    )

    assert modules(original, optimised) == ["z.norm"]


@pytest.mark.parametrize(("head", "first"), [("head.weight", "stage1.0.conv"), ("blocks.0.head.weight", None)])
def test_paths_of_nodes_are_believed_where_they_agree_with_parameters(head, first):
    nodes = graph(
        ("/stage1/stage1.0/conv/Conv", "Conv", ["x", "onnx::Conv_25"], "h"), ("/head/Gemm", "Gemm", ["h", head], "y"),
        weights={"onnx::Conv_25": stored(8, 8, 3, 3), head: stored(8, 8)},
    )  # fmt: skip

    found = places(nodes, nodes)

    assert found[0].module == first
    assert found[0].own == "/stage1/stage1.0/conv/Conv"


def test_only_a_bias_with_the_columns_of_the_product_names_it():
    def named(bias: int, *more):
        weights = {"val_86": stored(8, 32), "fc.bias": stored(bias)}
        nodes = [("p", "MatMul", ["x", "val_86"], "h"), ("a", "Add", ["h", "fc.bias"], "y"), *more]
        return modules(*[graph(*nodes, weights=weights)] * 2)[0]

    assert named(32) == "fc"
    assert named(1) is None
    assert named(32, ("r", "Relu", ["h"], "z")) is None  # the product goes elsewhere, too


def test_names_that_two_branches_use_stand_for_nothing():
    branches = tuple(
        graph(("n", "MatMul", ["x", f"{part}.weight"], "same"), weights={f"{part}.weight": stored(8, 8)})
        for part in ("a", "b")
    )
    original = Nodes((Node("if", "If", ("go",), ("y",), None, branches),), {}, ("x", "go"))
    optimised = graph(("n", "Fused", ["x", "packed"], "same"), weights={"packed": stored(64)})

    assert modules(original, optimised) == [None]


def test_another_file_tells_the_module_of_the_same_values_where_it_is_sure():
    known = [Place("lstm.l0", "a", frozenset((b"1", b"0"))), Place("lstm.l1", "b", frozenset((b"2", b"0")))]
    unknown = [Place(None, "c", frozenset((b"2", b"0"))), Place(None, "d", frozenset((b"0",))), Place(None, "e")]

    found = joined({"named": known, "folded": unknown})

    assert found["named"] == known
    assert [place.module for place in found["folded"]] == ["lstm.l1", None, None]
