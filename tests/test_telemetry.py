"""Runtimes tell nobody what is measured with them, and leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("package", "program"),
    [
        ("onnxruntime", "import condensa_core, onnxruntime"),
        ("openvino", "from condensa_core.bench.openvino_runner import _openvino; _openvino()"),
    ],
)
def test_loading_a_runtime_writes_no_file(tmp_path, package, program):
    pytest.importorskip(package)
    names = ("ORT_DISABLE_TELEMETRY", "CI", "XDG_CACHE_HOME")  # they keep silent in CI, too
    environment = {name: value for name, value in os.environ.items() if name not in names}
    places = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME"), str(tmp_path))

    subprocess.run([sys.executable, "-c", program], env=environment | places, cwd=tmp_path, check=True)

    assert list(tmp_path.rglob("*")) == []
