"""ONNX Runtime tells nobody what is measured with it, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")


def test_importing_the_runtime_after_condensa_writes_no_file(tmp_path):
    names = ("ORT_DISABLE_TELEMETRY", "CI", "XDG_CACHE_HOME")  # it keeps silent in CI, too
    environment = {name: value for name, value in os.environ.items() if name not in names}
    places = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME"), str(tmp_path))

    subprocess.run(
        [sys.executable, "-c", "import condensa_core, onnxruntime"], env=environment | places, cwd=tmp_path, check=True
    )

    assert list(tmp_path.rglob("*")) == []
