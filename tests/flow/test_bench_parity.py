"""A parity that cannot be judged is told everywhere, and never passes a bound that was asked for."""

from __future__ import annotations

from xml.etree import ElementTree

import onnx
import pytest
from onnx import TensorProto, helper

from condensa_core.bench import Bounds
from condensa_core.flow.benching import bench
from condensa_core.report.bench_files import bench_junit, bench_markdown


def written(path, operators):
    """x through one operator after another, the last of which gives y."""
    names = ["x", *(f"h{i}" for i in range(1, len(operators))), "y"]
    nodes = [helper.make_node(operator, [names[i]], [names[i + 1]]) for i, operator in enumerate(operators)]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
    graph = helper.make_graph(nodes, "g", [x], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@pytest.fixture
def drawing(tmp_path):
    return written(tmp_path / "drawing.onnx", ["RandomNormalLike", "Abs"])


def measured(path, **settings):
    return bench([path], seconds=0.01, rounds=3, memory=False, **settings)


def test_unasked_it_is_a_warning_and_a_skipped_case(drawing):
    result = measured(drawing)

    (verdict,) = result["comparisons"][0]["verdicts"]
    assert (result["exit_code"], verdict["gate"], verdict["allowed"]) == (0, "parity", True)
    suite = ElementTree.fromstring(bench_junit(result))
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("1", "0", "1")
    assert bench_markdown(result).count("draws random numbers") == 1


@pytest.mark.parametrize("allow", [True, False])
def test_a_bound_that_was_asked_for_fails_and_is_not_waived(drawing, allow):
    result = measured(drawing, bounds=Bounds(max_error=1e-3), allow_mismatch=allow)

    (reason,) = result["reasons"]
    assert result["exit_code"] == 1
    assert reason.startswith("FAIL  max-error: drawing.onnx is not checked")


def test_other_outputs_than_the_bases_fail_a_bound_alone(tmp_path):
    base, other = written(tmp_path / "base.onnx", ["Abs"]), written(tmp_path / "other.onnx", ["Transpose"])

    free = measured(other, compare=base)
    bound = measured(other, compare=base, bounds=Bounds(max_error=0.5))

    assert free["exit_code"] == 0
    assert "other.onnx cannot be held against base.onnx: output y has another shape" in bench_markdown(free)
    (reason,) = bound["reasons"]
    assert reason.startswith("FAIL  max-error: other.onnx differs from base.onnx")
    assert reason.endswith("output y has another shape: [1, 4] became [4, 1], allowed 0.5")
