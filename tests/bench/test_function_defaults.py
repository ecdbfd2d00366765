"""Weights in other files, named by what an attribute of a function is where a call gives none."""

import pytest
from onnx import TensorProto, helper

from condensa_core.bench import examine
from condensa_core.errors import UsageError


def test_a_default_attribute_may_not_name_a_file_elsewhere(tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    (tmp_path / "model").mkdir()
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="../secret.bin")
    nodes = [helper.make_node("Constant", [], ["c"]), helper.make_node("Add", ["x", "c"], ["y"])]
    function = helper.make_function("f", "F", ["x"], ["y"], nodes, [helper.make_opsetid("", 17)])
    function.attribute_proto.append(helper.make_attribute("d", weight))
    given, made = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("F", ["x"], ["y"], domain="f")], "g", [given], [made])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=[function])
    (tmp_path / "model" / "it.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(UsageError, match="outside its own folder"):
        examine(tmp_path / "model" / "it.onnx")
