"""Metrics from calibration data: a weight's error in its metric is the mean squared error of its layer's outputs."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from condensa_core.learning import input_metrics
from condensa_core.workload.batches import TensorBatches


class Once(nn.Module):
    """A layer and what it gives, whatever else it returns."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.layer, nn.MultiheadAttention):
            ran = self.layer(x, x, x)[0].sum()
            return torch.cat([x @ w.T for w in self.layer.in_proj_weight.chunk(3)], -1) + 0 * ran
        return self.layer(x)


def _batches(x: Tensor) -> TensorBatches:
    return TensorBatches(x, torch.zeros(len(x)), batch=4)


LAYERS = {
    "linear": (nn.Linear(5, 3), (5,), "weight"),
    "linear over steps": (nn.Linear(5, 3), (4, 5), "weight"),
    "convolution": (nn.Conv2d(3, 4, 3, padding=1, stride=2), (3, 7, 6), "weight"),
    "dilated": (nn.Conv1d(3, 4, 3, dilation=2, padding="same", padding_mode="circular"), (3, 9), "weight"),
    "attention": (nn.MultiheadAttention(4, 2, batch_first=True), (5, 4), "in_proj_weight"),
}


@pytest.mark.parametrize("case", LAYERS)
def test_the_gram_metric_is_the_mean_squared_error_of_the_outputs(case: str) -> None:
    layer, shape, leaf = LAYERS[case]
    torch.manual_seed(0)
    x = torch.randn(6, *shape)
    model = Once(copy.deepcopy(layer)).eval()
    name = f"layer.{leaf}"

    metric = input_metrics(model, [name], _batches(x), gram=True)[name]

    error = torch.randn_like(dict(model.named_parameters())[name]) * 0.1
    other = copy.deepcopy(model)
    with torch.no_grad():
        dict(other.named_parameters())[name].add_(error)
        difference = other(x) - model(x)
    channels = error.shape[0]
    expected = difference.double().square().sum() / (difference.numel() / channels)
    torch.testing.assert_close(metric.error(error), expected, rtol=1e-4, atol=0)
    diagonal = torch.diagonal(metric.gram).reshape(metric.weights.shape)
    torch.testing.assert_close(metric.weights, diagonal)


def test_grouped_convolutions_have_the_diagonal_of_each_group() -> None:
    torch.manual_seed(0)
    model = Once(nn.Conv2d(4, 6, 1, groups=2, bias=False)).eval()
    x = torch.randn(8, 4, 3, 3)

    metric = input_metrics(model, ["layer.weight"], _batches(x), gram=True)["layer.weight"]

    energy = x.square().mean((0, 2, 3))
    assert metric.gram is None
    torch.testing.assert_close(metric.weights[:, :, 0, 0], energy.reshape(2, 2).repeat_interleave(3, 0))


def test_rows_of_an_embedding_weigh_as_often_as_their_token_occurs() -> None:
    model = Once(nn.Embedding(4, 3)).eval()
    x = torch.tensor([[0, 0], [1, 0], [3, 1]])

    metric = input_metrics(model, ["layer.weight"], _batches(x), gram=True)["layer.weight"]

    torch.testing.assert_close(metric.weights.flatten(), torch.tensor([3.0, 2.0, 0.0, 1.0]) / 6)


def test_what_does_not_run_has_no_metric_and_nothing_is_changed() -> None:
    model = nn.ModuleDict({"used": nn.Linear(2, 2), "idle": nn.Linear(2, 2)})
    model.forward = lambda x: model["used"](x)  # type: ignore[method-assign]
    model.train()
    before = copy.deepcopy(model.state_dict())

    found = input_metrics(model, ["used.weight", "idle.weight"], _batches(torch.ones(2, 2)), gram=False)

    assert set(found) == {"used.weight"} and found["used.weight"].gram is None
    assert model.training and not model["used"]._forward_hooks
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())


def test_a_tensor_read_as_rows_and_as_columns_has_no_metric():
    model = nn.ModuleDict({"embedding": nn.Embedding(5, 3), "head": nn.Linear(3, 5, bias=False)})
    model["head"].weight = model["embedding"].weight
    model.forward = lambda x: model["head"](model["embedding"](x))  # type: ignore[method-assign]
    x = torch.tensor([[0, 1], [1, 1]])

    assert input_metrics(model, ["embedding.weight"], _batches(x), gram=True) == {}


def test_attention_over_other_keys_has_no_metric_however_it_is_called():
    class Cross(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(query=x, key=100 * x, value=x)[0]

    assert input_metrics(Cross().eval(), ["layer.in_proj_weight"], _batches(torch.randn(3, 5, 4)), gram=True) == {}


def test_two_layers_of_one_weight_count_together_under_its_first_name():
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Tanh(), nn.Linear(4, 4, bias=False))
    model[2].weight = model[0].weight
    x = torch.randn(9, 4)

    found = input_metrics(model, ["0.weight"], _batches(x), gram=True)

    both = torch.cat([x, torch.tanh(model[0](x)).detach()])
    assert found.keys() == {"0.weight"}
    torch.testing.assert_close(found["0.weight"].gram, both.T @ both / 18)


def test_only_what_is_asked_for_is_watched_and_only_as_many_samples():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    x = torch.randn(12, 4)

    found = input_metrics(model, ["0.weight"], _batches(x), gram=True, samples=5)

    assert found.keys() == {"0.weight"}
    torch.testing.assert_close(found["0.weight"].gram, x[:8].T @ x[:8] / 8)  # whole batches of four


def test_tokens_are_counted_over_all_batches():
    tokens = torch.tensor([[0, 1], [1, 1], [2, 2], [2, 2], [3, 3], [3, 0]])

    metric = input_metrics(nn.Sequential(nn.Embedding(5, 2)), ["0.weight"], _batches(tokens), gram=False)["0.weight"]

    torch.testing.assert_close(metric.weights, torch.tensor([[2.0], [3], [4], [3], [0]]) / 12)


class Recurrent(nn.Module):
    def __init__(self, **settings: bool) -> None:
        super().__init__()
        self.layer = nn.LSTM(3, 4, batch_first=True, **settings)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]


def test_a_recurrent_layer_reads_inputs_and_what_it_gave_a_step_before():
    model, x = Recurrent(), torch.randn(6, 5, 3)

    found = input_metrics(model, ["layer.weight_ih_l0", "layer.weight_hh_l0"], _batches(x), gram=True)

    rows, given = x.reshape(-1, 3), model(x)[:, :-1].detach().reshape(-1, 4)
    torch.testing.assert_close(found["layer.weight_ih_l0"].gram, rows.T @ rows / len(rows))
    torch.testing.assert_close(found["layer.weight_hh_l0"].gram, given.T @ given / len(given))


def test_what_a_step_reads_is_not_known_of_two_directions():
    names = ["layer.weight_ih_l0", "layer.weight_hh_l0"]

    found = input_metrics(Recurrent(bidirectional=True), names, _batches(torch.randn(6, 5, 3)), gram=True)

    assert found.keys() == {"layer.weight_ih_l0"}
