from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from condensa_core.errors import ExportFailed
from condensa_core.export import OnnxModel, check_parity, export_onnx
from condensa_core.export.float16 import store_float16


def rounded(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.half().float())
    return model


@pytest.mark.parametrize("kind", ["conv", "mlp", "residual"])
def test_half_the_bytes_and_the_same_numbers(kind, make, exported_by_kind, batch, tmp_path):
    model = rounded(make(kind, 8, seed=3))
    names = {name for name, p in model.named_parameters() if p.ndim > 1}
    like = exported_by_kind(kind).file

    plain = export_onnx(model, (batch(2),), tmp_path / "plain.onnx", like=like)
    half = export_onnx(model, (batch(2),), tmp_path / "half.onnx", like=like, float16_parameters=names)

    assert half.float16_parameters == names
    saved = sum(2 * p.numel() for name, p in model.named_parameters() if name in names)
    assert plain.weight_bytes - half.weight_bytes == saved
    assert half.size_bytes < plain.size_bytes
    x = batch(5)
    assert torch.equal(OnnxModel(half.path)(x), OnnxModel(plain.path)(x))
    stored = {t.name: t for t in onnx.load(half.path).graph.initializer}
    for name in names:
        values = onnx.numpy_helper.to_array(stored[f"{name}.float16"])
        assert values.dtype == np.float16
        np.testing.assert_array_equal(values.astype(np.float32), model.state_dict()[name].numpy())


def test_value_between_two_float16_numbers_is_refused(make, exported_by_kind, batch, tmp_path):
    model = rounded(make("mlp"))
    with torch.no_grad():
        model.output.weight[0, 0] = 1 + 2.0**-12  # float16 has 10 bits behind the point

    with pytest.raises(ExportFailed, match=r"output\.weight holds values that float16 cannot represent"):
        export_onnx(
            model,
            (batch(2),),
            tmp_path / "m.onnx",
            like=exported_by_kind("mlp").file,
            float16_parameters={"output.weight"},
        )

    assert not list(tmp_path.iterdir())


def test_value_beyond_the_range_of_float16_is_refused(exported_by_kind):
    graph = onnx.load(exported_by_kind("mlp").file.path)

    with pytest.raises(ExportFailed, match="w holds"):
        store_float16(graph, {"w": torch.tensor([70000.0])}, {"w"})


def test_unknown_parameter_is_refused(exported_by_kind):
    graph = onnx.load(exported_by_kind("mlp").file.path)

    with pytest.raises(ExportFailed, match="'nowhere'"):
        store_float16(graph, exported_by_kind("mlp").model.state_dict(), {"nowhere"})


class Projected(nn.Module):
    """A linear layer on sequences, exported as MatMul with the transposed weight under another name."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 12)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def test_renamed_weights_are_found_by_value(tmp_path):
    torch.manual_seed(0)
    model = rounded(Projected())

    file = export_onnx(model, (torch.randn(2, 5, 6),), tmp_path / "m.onnx", float16_parameters={"inner.weight"})

    assert file.float16_parameters == {"inner.weight"}
    assert file.weight_bytes == 2 * 72 + 4 * 12
    check_parity(file.path, model, [torch.randn(3, 5, 6)])


def test_parameter_that_is_not_in_the_file_is_left_out_of_the_record(exported_by_kind):
    graph = onnx.load(exported_by_kind("mlp").file.path)
    before = graph.SerializeToString()

    stored = store_float16(graph, {"unused": torch.ones(3)}, {"unused"})

    assert stored == frozenset()
    assert graph.SerializeToString() == before
