"""Layers whose integers are chosen before: found again in the file, through folded norms, and alone rounded."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from condensa_core.errors import UsageError
from condensa_core.export import OnnxModel, export_onnx, layers_holding, quantize_onnx
from condensa_core.materialise import fold_batchnorm
from condensa_core.schemes import Quantize, Scaled, Target


class Normed(nn.Module):
    """A convolution with a norm that turns an output around and kills another; two linear layers of one shape."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.square = nn.Linear(6, 6)
        self.other = nn.Linear(6, 6)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x))).mean((2, 3))
        return self.other(torch.relu(self.square(x)))


@pytest.fixture(scope="module")
def rounded(tmp_path_factory):
    """The model on integers, its file, the code of its weights, and the terms of them after folding."""
    torch.manual_seed(0)
    model = Normed().eval()
    with torch.no_grad():
        model.norm.weight.copy_(torch.tensor([1.0, 0.3, -0.7, 0.0, 2.1, 0.01]))
        model.norm.bias.uniform_(-0.5, 0.5)
        model.norm.running_var.uniform_(0.3, 3.0)
        model.norm.running_mean.uniform_(-1, 1)
    weights = {name: p for name, p in model.named_parameters() if p.dim() > 1}
    code = Quantize("int8", "channel").project(Target(weights))
    with torch.no_grad():
        for name, values in code.decode().items():
            weights[name].copy_(values)
    terms = dict(code.terms())
    (conv,) = terms["conv.weight"]
    factor = model.norm.weight / (model.norm.running_var + model.norm.eps).sqrt()
    terms["conv.weight"] = (Scaled(conv.base, conv.scale * factor.detach().view(-1, 1, 1, 1)),)
    example = (torch.randn(2, 1, 8, 8),)
    folded = fold_batchnorm(model, example)
    path = tmp_path_factory.mktemp("rounded") / "float.onnx"
    export_onnx(folded, example, path)
    return model, path, code, terms


def stored(path):
    return {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


def test_a_layer_is_found_by_its_integers_folded_or_transposed_or_not(rounded):
    _, path, _, terms = rounded

    found = layers_holding(path, terms)

    assert sorted(found.values()) == ["conv.weight", "other.weight", "square.weight"]
    kinds = {node.name: node.op_type for node in onnx.load(path).graph.node}
    assert {kinds[node]: name for node, name in found.items()}["Conv"] == "conv.weight"


def test_what_is_not_on_these_integers_is_not_held(rounded):
    _, path, _, terms = rounded
    (conv,) = terms["conv.weight"]
    moved = conv.base.clone()
    moved[0, 0, 0, 0] += 1 if moved[0, 0, 0, 0] < 127 else -1
    changed = {**terms, "conv.weight": (Scaled(moved, conv.scale),)}

    assert sorted(layers_holding(path, changed).values()) == ["other.weight", "square.weight"]
    assert layers_holding(path, {}) == {}


@pytest.mark.parametrize("reduce_range", [False, True])
def test_folded_weights_keep_the_integers_of_their_code(rounded, tmp_path, reduce_range):
    model, path, code, terms = rounded
    inputs = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(1))

    file = quantize_onnx(path, tmp_path / "q.onnx", [inputs], reduce_range=reduce_range, terms=terms)

    held = stored(file.path)
    (name,) = (n.removesuffix(".levels") for n in held if n.endswith(".levels") and held[n].ndim == 4)
    zero = held[f"{name}.zero"].astype(int).reshape(-1, 1, 1, 1)
    levels, scale = held[f"{name}.levels"].astype(int) - zero, held[f"{name}.scale"]
    sign = np.sign(model.norm.weight.detach().numpy()).astype(int).reshape(-1, 1, 1, 1)
    assert (levels == code.levels["conv.weight"].numpy() * sign).all()
    assert (scale > 0).all()
    np.testing.assert_allclose(levels * scale.reshape(-1, 1, 1, 1), stored(path)["conv.weight"], rtol=1e-5, atol=1e-9)
    assert file.plain.max_rel < 0.05
    if reduce_range:  # without, kernels may saturate on this CPU
        assert not file.saturates
        with torch.no_grad():
            ours, theirs = OnnxModel(file.path)(inputs), model(inputs)
        assert float((ours - theirs).abs().max()) < 0.05 * float(theirs.abs().max())


def test_only_what_is_named_is_rounded(rounded, tmp_path):
    _, path, _, terms = rounded
    node = next(n for n, parameter in layers_holding(path, terms).items() if parameter == "square.weight")

    file = quantize_onnx(path, tmp_path / "q.onnx", [torch.randn(8, 1, 8, 8)], only=[node], terms=terms)

    assert file.layers == (node,)
    nodes = onnx.load(file.path).graph.node
    made = {name: n for n in nodes for name in n.output}
    reads_rounded = {n.name for n in nodes for x in n.input[:2] if x in made and made[x].op_type == "DequantizeLinear"}
    assert reads_rounded == {node}
    assert stored(file.path)["conv.weight"].dtype == np.float32
    with pytest.raises(UsageError, match=r"only names 'nothing\.weight'"):
        quantize_onnx(path, tmp_path / "none.onnx", [torch.randn(8, 1, 8, 8)], only=["nothing.weight"])
