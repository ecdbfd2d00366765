"""What the overhead benchmark times is the runners' own `run`, without a session."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from condensa_core.bench.onnxruntime_runner import OnnxRuntimeRunner
from condensa_core.bench.openvino_runner import OpenVinoRunner


@pytest.mark.parametrize("kind", [OnnxRuntimeRunner, OpenVinoRunner])
def test_a_runner_without_a_session_runs(kind, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    from bench_overhead import null_runner

    null_runner(kind).run()

    sys.modules.pop("bench_overhead")
