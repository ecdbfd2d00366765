"""Folding a norm changes the operators, not the function."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from condensa_core.materialise import BatchNormFolding, batchnorm_folding, check_equivalence, fold_batchnorm


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.norm_a = nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6)
        self.up, self.norm_up = nn.ConvTranspose2d(6, 4, 2), nn.BatchNorm2d(4, affine=False)
        self.read_twice, self.norm_b = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.shared, self.norm_c, self.norm_d = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.norm_after_relu = nn.BatchNorm2d(4)
        self.fc, self.norm_fc, self.head = nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 2)

    def forward(self, x):
        x = F.relu(self.norm_a(self.a(x)))
        x = self.norm_after_relu(F.relu(self.norm_up(self.up(x))))
        y = self.read_twice(x)
        x = self.norm_b(y) + y
        x = self.norm_c(self.shared(x)) * self.norm_d(self.shared(torch.sigmoid(x)))
        return self.head(self.norm_fc(self.fc(x.mean((2, 3)))))


def test_norms_that_alone_read_a_layer_are_folded():
    # given
    torch.manual_seed(0)
    model = Network().train()
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                if tensor is not None:
                    tensor.data.uniform_(0.5, 1.5)
    inputs = (torch.randn(2, 3, 8, 8),)

    # when
    folded = fold_batchnorm(model, inputs)

    # then
    gone = {name for name, module in folded.named_modules() if isinstance(module, nn.Identity)}
    assert gone == {"norm_a", "norm_up", "norm_fc"}
    assert folded.a.bias is not None and model.a.bias is None and model.training and not folded.training
    # weights are rounded to float32 once more: 6 layers, 2^-24 each
    assert check_equivalence(model, folded, inputs, tolerance=1e-5) < 1e-5
    assert check_equivalence(model.double(), fold_batchnorm(model, (inputs[0].double(),)), inputs) < 1e-10


class Rewired(nn.Module):
    """Two layers and norms, in an order that no module tells."""

    def __init__(self, width, swapped):
        super().__init__()
        self.first, self.norm = nn.Linear(3, width), nn.BatchNorm1d(width)
        self.head, self.swapped = nn.Linear(width, 2), swapped
        self.norm.running_mean.uniform_(0.5, 1.5)

    def forward(self, x):
        x = self.first(x)
        return self.head(self.norm(F.relu(x)) if self.swapped else F.relu(self.norm(x)))


def test_a_narrower_model_is_folded_by_what_the_first_one_told(monkeypatch):
    captured = []
    capture = batchnorm_folding.capture
    monkeypatch.setattr(batchnorm_folding, "capture", lambda *given: captured.append(1) or capture(*given))
    torch.manual_seed(0)
    fold, inputs = BatchNormFolding(), (torch.randn(4, 3),)

    for width in (6, 4, 1):
        model = Rewired(width, swapped=False).eval()
        folded = fold(model, inputs)
        assert isinstance(folded.norm, nn.Identity)
        assert check_equivalence(model, folded, inputs, tolerance=1e-5) < 1e-5  # rounded to float32 once more

    assert len(captured) == 1


def test_what_was_told_of_other_wiring_is_not_used():
    torch.manual_seed(0)
    fold, inputs = BatchNormFolding(), (torch.randn(4, 3),)
    fold(Rewired(5, swapped=False).eval(), inputs)

    folded = fold(Rewired(5, swapped=True).eval(), inputs)

    assert isinstance(folded.norm, nn.BatchNorm1d)


class ReadElsewhere(nn.Module):
    """A forward that reads a tensor of the pair besides."""

    def __init__(self, tensor):
        super().__init__()
        self.layer, self.norm, self.tensor = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), tensor

    def forward(self, x):
        return self.norm(self.layer(x)) * self.get_parameter(self.tensor).sum()


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Sequential(nn.Linear(8, 12), nn.BatchNorm1d(6)), (3, 6, 8)),
        (nn.Sequential(nn.Linear(10, 4), nn.BatchNorm1d(4)), (3, 4, 10)),
        (nn.Sequential(nn.Linear(5, 4), nn.BatchNorm2d(4)), (2, 4, 4, 5)),
        (nn.Sequential(nn.ConvTranspose2d(8, 4, 3, groups=2), nn.BatchNorm2d(4)), (3, 8, 5, 5)),
        (nn.Sequential(nn.ConvTranspose2d(8, 8, 3, groups=8), nn.BatchNorm2d(8)), (3, 8, 5, 5)),
        (ReadElsewhere("layer.weight"), (2, 3, 5, 5)),
        (ReadElsewhere("norm.bias"), (2, 3, 5, 5)),
    ],
)
def test_what_a_norm_cannot_be_folded_into_is_left_as_it_is(model, shape):
    for norm in model.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                tensor.data.uniform_(0.5, 1.5)
    inputs = (torch.randn(shape),)

    folded = fold_batchnorm(model.eval(), inputs)

    assert not [module for module in folded.modules() if isinstance(module, nn.Identity)]
    assert torch.equal(folded(*inputs), model(*inputs))


def test_a_pair_that_changes_the_model_is_left_out_alone(monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.BatchNorm1d(4))
    inputs = (torch.randn(3, 4),)
    model[1].running_mean.uniform_(0.5, 1.5)
    model[3].running_mean.uniform_(0.5, 1.5)
    monkeypatch.setattr(batchnorm_folding, "_foldable", lambda captured: [("0", "1"), ("0", "3")])

    folded = fold_batchnorm(model.eval(), inputs)

    assert [type(module) for module in folded] == [nn.Linear, nn.Identity, nn.Linear, nn.BatchNorm1d]
