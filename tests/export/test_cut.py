from __future__ import annotations

import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from condensa_core.export import OnnxModel, check_parity, export_onnx


@pytest.mark.parametrize("kind", ["conv", "mlp", "residual"])
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(width=st.integers(1, 20), seed=st.integers(0, 1000))
def test_cut_file_computes_the_narrow_model(kind, width, seed, make, exported_by_kind, batch, tmp_path):
    narrow = make(kind, width, seed)

    file = export_onnx(narrow, (batch(2),), tmp_path / "cut.onnx", like=exported_by_kind(kind).file)

    assert file.route == "cut"
    check_parity(file.path, narrow, [batch(1), batch(5, seed)], tolerance=1e-5)


def test_cut_file_is_the_traced_file_apart_from_the_flattening(make, exported_by_kind, batch, tmp_path):
    narrow = make("conv", 3, seed=1)

    cut = export_onnx(narrow, (batch(2),), tmp_path / "cut.onnx", like=exported_by_kind("conv").file)
    traced = export_onnx(narrow, (batch(2),), tmp_path / "traced.onnx")

    a, b = onnx.load(cut.path).graph, onnx.load(traced.path).graph
    assert [n.op_type for n in a.node] == [n.op_type.replace("Reshape", "Flatten") for n in b.node]
    assert cut.modules.keys() == {n.name for n in a.node}
    assert cut.inputs == traced.inputs
    assert cut.outputs == traced.outputs
    x = batch(4)
    assert torch.equal(OnnxModel(cut.path)(x), OnnxModel(traced.path)(x))  # the same kernels on the same numbers


def traced_instead(model: nn.Module, like, batch, folder) -> None:
    file = export_onnx(model, (batch(2),), folder / "m.onnx", like=like)

    assert file.route == "exported"
    check_parity(file.path, model, [batch(5)], tolerance=1e-5)


def test_unfolded_batchnorm_is_traced(batchnorm_network, exported_by_kind, batch, tmp_path):
    traced_instead(batchnorm_network, exported_by_kind("residual").file, batch, tmp_path)


class Leaky(nn.Module):
    """The perceptron's parameters in another function."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(64, 8)
        self.output = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(nn.functional.leaky_relu(self.hidden(x.flatten(1))))


def test_other_function_of_the_same_parameters_is_traced(exported_by_kind, batch, tmp_path):
    traced_instead(Leaky(), exported_by_kind("mlp").file, batch, tmp_path)


def test_bias_that_the_wide_file_dropped_is_not_lost(make, batch, tmp_path):
    wide, narrow = make("residual", 8), make("residual", 4)
    with torch.no_grad():
        wide.branch.bias.zero_()  # the exporter removes a bias of zeros
        narrow.branch.bias.fill_(3)
    like = export_onnx(wide, (batch(2),), tmp_path / "wide.onnx")
    assert "branch.bias" not in {t.name for t in onnx.load(like.path).graph.initializer}

    traced_instead(narrow, like, batch, tmp_path)


def test_file_that_went_away_is_traced(make, exported_by_kind, batch, tmp_path):
    like = exported_by_kind("mlp").file
    gone = type(like)(**{**like.__dict__, "path": tmp_path / "gone.onnx"})

    traced_instead(make("mlp", 4), gone, batch, tmp_path)


class Projected(nn.Module):
    """A linear layer on sequences: the file holds its weight transposed, under another name."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(6, width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.inner(x)).mean(-1)


def test_weights_under_other_names_are_traced(tmp_path):
    example = torch.randn(2, 5, 6)
    like = export_onnx(Projected(12), (example,), tmp_path / "wide.onnx")

    file = export_onnx(Projected(7), (example,), tmp_path / "m.onnx", like=like)

    assert file.route == "exported"
