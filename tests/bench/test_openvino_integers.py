"""OpenVINO computes what low-rank layers in integers say, with or without a bias between their halves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from condensa_core.bench import BenchTarget, open_runner
from condensa_core.export import OnnxModel, export_onnx, quantize_onnx

pytest.importorskip("openvino")


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("between", [nn.Identity, nn.ReLU])
def test_both_halves_of_a_layer_in_integers_are_computed_as_written(
    batch: int, bias: bool, between: type[nn.Module], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 7, bias=bias), between(), nn.Linear(7, 32)).eval()
    x = torch.rand(16, 64)
    name = export_onnx(model, (x[:2],), tmp_path / "f.onnx").inputs[0].name
    file = quantize_onnx(tmp_path / "f.onnx", tmp_path / "q.onnx", [x]).path
    expected = OnnxModel(file, fused=False)(x[:batch]).numpy()

    with open_runner(BenchTarget("openvino", batch=batch), file, {name: x[:batch].numpy()}) as runner:
        runner.run()
        (found,) = runner.outputs().values()

    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
