"""Integers in TensorRT's form on a machine without it: never judged by a session that computes something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_recipe import tiny
from torch import nn

from condensa_core import flow
from condensa_core.bench import BenchTarget
from condensa_core.bench.onnxruntime_runner import OnnxRuntimeRunner
from condensa_core.errors import ParityError
from condensa_core.export import OnnxModel, export_onnx, quantize_onnx
from condensa_core.flow.timing import time_in_turns
from condensa_core.randomness import Seed
from condensa_core.recipe import recipe_from

INT8 = {"quantize": {"dtype": "int8", "granularity": "channel", "activations": "int8"}}
RECIPE = tiny(
    layers=[{"match": "features.*", "scheme": INT8}],
    knobs=None,
    metrics={"loss": {"kind": "loss"}},
    compress={"method": "direct", "metric": "identity"},
    constraint={"metric": "loss", "max_rise": "50%"},
    targets={"cpu": {"batch": 4}, "rtx": {"backend": "tensorrt-rtx"}},
    objective={"minimize": "size.onnx", "on": "rtx"},
    gates=[{"metric": "throughput", "on": "cpu", "at_least": "0.001x"}],
    search={"method": "none"},
    output={"export": ["onnx", "packed"]},
)


@pytest.fixture
def saturating(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fused sessions of integer files compute something else, as on a CPU whose kernels saturate."""
    made, run = OnnxModel.__init__, OnnxModel.forward
    opened, told = OnnxRuntimeRunner.__init__, OnnxRuntimeRunner.outputs

    def remembering(self: Any, source: Any, **kwargs: Any) -> None:
        made(self, source, **kwargs)
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
        self.wrong = b"QuantizeLinear" in content and kwargs.get("fused", True)

    def computing(self: Any, *inputs: Any) -> Any:
        return run(self, *inputs) * (-1 if self.wrong else 1)

    def timed(self: Any, stream: int = 0) -> Any:
        return {name: array * (-1 if self.wrong else 1) for name, array in told(self, stream).items()}

    def opening(self: Any, path: Path, *args: Any) -> None:
        self.wrong = b"QuantizeLinear" in Path(path).read_bytes()
        opened(self, path, *args)

    monkeypatch.setattr(OnnxModel, "__init__", remembering)
    monkeypatch.setattr(OnnxModel, "forward", computing)
    monkeypatch.setattr(OnnxRuntimeRunner, "__init__", opening)
    monkeypatch.setattr(OnnxRuntimeRunner, "outputs", timed)


def test_a_run_for_tensorrt_is_judged_node_by_node_and_its_gate_on_the_cpu_by_its_session(
    tmp_path: Path, saturating: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("condensa_core.flow.gating.SECONDS", 0.3)

    outcome = flow.run(recipe_from(RECIPE), out=tmp_path / "runs", cache_dir=tmp_path / "cache")

    assert outcome.best is not None and outcome.constraint is not None and outcome.integers is not None
    assert (
        outcome.integers.target == "tensorrt" and outcome.constraint.met
    )  # logits turned around would double the loss
    (gate,) = outcome.gates
    assert gate.met is False and "computes something else than model.onnx says" in gate.reason
    assert (outcome.status, outcome.exit_code) == ("gate-failed", 1)


@pytest.mark.parametrize("form", ["onnxruntime", "tensorrt"])
def test_only_integers_for_onnx_runtime_were_judged_when_they_were_made(
    form: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 16)
    export_onnx(nn.Sequential(nn.Linear(16, 16)), (x[:2],), tmp_path / "f.onnx")
    file = quantize_onnx(tmp_path / "f.onnx", tmp_path / "q.onnx", [x], target=form).path

    def timed() -> int:
        return time_in_turns({"it": file}, BenchTarget(), seconds=0.01, rounds=3, seed=Seed()).measurement("it").rounds

    assert timed() == 3
    told = OnnxRuntimeRunner.outputs
    monkeypatch.setattr(OnnxRuntimeRunner, "outputs", lambda self: {n: 2 * y for n, y in told(self).items()})
    if form == "onnxruntime":
        assert timed() == 3
    else:
        with pytest.raises(ParityError, match=r"computes something else than q\.onnx says"):
            timed()
