"""A model that computes for ever is told of, and given up by the command."""

import json
import os
import re
import subprocess
import sys
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from condensa_core.bench.coming_back import coming_back


@pytest.fixture
def endless(tmp_path):
    """A file with a loop of 2^62 turns."""
    scalar, flag = helper.make_tensor_value_info, TensorProto.BOOL
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Add", ["v", "one"], ["w"])],
        "body",
        [scalar("i", TensorProto.INT64, []), scalar("c", flag, []), scalar("v", TensorProto.FLOAT, [1])],
        [scalar("d", flag, []), scalar("w", TensorProto.FLOAT, [1])],
    )
    constants = {"turns": np.array(2**62), "true": np.array(True), "one": np.ones(1, np.float32)}
    graph = helper.make_graph(
        [helper.make_node("Loop", ["turns", "true", "x"], ["y"], body=body)],
        "endless",
        [scalar("x", TensorProto.FLOAT, [1])],
        [scalar("y", TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    path = tmp_path / "endless.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_bench_gives_up_on_a_model_that_computes_for_ever(endless):
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "condensa_cli",
        "bench",
        "endless.onnx",
        "--timeout",
        "1",
        "--json",
    ]

    done = subprocess.run(command, cwd=endless.parent, env=os.environ, capture_output=True, text=True, timeout=60)

    assert done.returncode == 4
    assert "the first inference of endless.onnx on onnxruntime has not come back for" in done.stderr
    assert "given up: a file was not loaded and run once within --timeout" in done.stderr
    assert json.loads(done.stdout)["exit_code"] == 4


def test_what_is_waited_for_is_told_more_and_more_rarely(monkeypatch):
    monkeypatch.setattr("condensa_core.bench.coming_back.PATIENCE_S", 0.1)
    told = []

    with coming_back("it", told.append):
        time.sleep(0.55)
    count = len(told)
    time.sleep(0.2)

    assert 1 <= count <= 5 and len(told) == count  # at 0.1, 0.2 and 0.4 s, and later where the sleep took longer
    assert re.fullmatch(r"it has not come back for \d s; kill -9 \d+ ends it", told[0].message)
    assert told[0].level == "warning"


def test_what_comes_back_is_not_ended():
    told = []

    with coming_back("it", told.append, timeout_s=0.4):
        pass
    time.sleep(0.6)

    assert told == []
