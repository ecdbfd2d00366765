"""Metrics and evaluation against scikit-learn and figures done by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss, top_k_accuracy_score
from torch import nn

from condensa_core.errors import Diverged, WorkloadError
from condensa_core.recipe import MetricSpec
from condensa_core.workload import (
    LOSS,
    TOP1,
    TOP5,
    Evaluation,
    Score,
    TensorBatches,
    agreement,
    difference_stderr,
    evaluate,
    metrics_named,
    task_loss,
)

ALL = [TOP1, TOP5, LOSS]


def judged(logits: torch.Tensor, targets: torch.Tensor, batch: int = 7) -> Evaluation:
    return evaluate(nn.Identity(), TensorBatches(logits, targets, batch), ALL)


@given(st.integers(2, 9), st.integers(1, 40), st.integers(0, 2**32))
def test_scores_equal_those_of_scikit_learn(classes, n, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, classes, generator=generator)
    targets = torch.randint(classes, (n,), generator=generator)

    scores = judged(logits, targets).scores

    labels = np.arange(classes)
    probabilities = logits.double().softmax(1).numpy()
    assert scores["top1"].value == pytest.approx(accuracy_score(targets, logits.argmax(1)))
    assert scores["loss"].value == pytest.approx(log_loss(targets, probabilities, labels=labels), rel=1e-5)
    if classes > 5:
        top5 = top_k_accuracy_score(targets, logits.numpy(), k=5, labels=labels)
        assert scores["top5"].value == pytest.approx(top5)
    else:
        assert scores["top5"].value == 1.0  # five guesses cover every class


def test_standard_errors_by_hand():
    logits = torch.tensor([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    targets = torch.tensor([0, 0, 1, 1])

    scores = judged(logits, targets).scores

    assert scores["top1"] == Score(0.75, math.sqrt(0.75 * 0.25 / 4), 4, "higher")
    right, wrong = math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))
    assert scores["loss"].value == pytest.approx((3 * right + wrong) / 4)
    assert scores["loss"].stderr == pytest.approx(np.std([right, right, wrong, right]) / 2)
    assert scores["loss"].better == "lower"


@given(st.integers(1, 30), st.integers(1, 31))
def test_the_size_of_batches_does_not_matter(n, batch):
    generator = torch.Generator().manual_seed(n)
    logits, targets = torch.randn(n, 3, generator=generator), torch.randint(3, (n,), generator=generator)

    split, whole = judged(logits, targets, batch), judged(logits, targets, n)

    assert split.scores["top1"] == whole.scores["top1"]
    assert split.scores["loss"].value == pytest.approx(whole.scores["loss"].value, rel=1e-6)
    assert torch.equal(split.predictions, logits.argmax(1))


def test_evaluation_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.9), nn.Linear(4, 3)).train()
    model[1].eval()  # a frozen BatchNorm inside a model in training
    state = {name: value.clone() for name, value in model.state_dict().items()}
    batches = TensorBatches(torch.randn(10, 4), torch.arange(10) % 3, 4)

    first, again = evaluate(model, batches, ALL), evaluate(model, batches, ALL)

    assert first.scores == again.scores  # dropout is off
    assert [part.training for part in model] == [True, False, True, True]
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert not first.predictions.is_inference()


def test_the_training_flag_survives_a_failing_model():
    class Fails(nn.Module):
        def forward(self, x):
            raise ValueError("no")

    model = Fails().train()

    with pytest.raises(ValueError, match="no"):
        evaluate(model, TensorBatches(torch.zeros(1, 1), torch.zeros(1).long(), 1), ALL)

    assert model.training


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_outputs_that_are_not_finite_are_divergence(bad):
    logits = torch.zeros(9, 2)
    logits[8, 1] = bad

    with pytest.raises(Diverged, match=r"outputs are not finite \(batch 1\)"):
        judged(logits, torch.zeros(9).long())


def test_outputs_of_another_kind_are_refused():
    with pytest.raises(WorkloadError, match=r"gives \(4, 2, 2\) for 4 samples"):
        judged(torch.zeros(4, 2, 2), torch.zeros(4).long())
    with pytest.raises(WorkloadError, match="the data holds class 5, the model knows 2 classes"):
        judged(torch.zeros(4, 2), torch.full((4,), 5))
    with pytest.raises(WorkloadError, match=r"gives torch.int64, expected floating-point scores"):
        judged(torch.zeros(4, 2).long(), torch.zeros(4).long())


def test_agreement_is_about_choices_and_not_about_truth():
    a = Evaluation({}, torch.tensor([0, 1, 2, 2]))
    b = Evaluation({}, torch.tensor([0, 1, 1, 2]))

    assert agreement(a, b) == agreement(b, a) == Score(0.75, math.sqrt(0.75 * 0.25 / 4), 4, "higher")
    assert agreement(a, a).value == 1
    for other in (torch.tensor([0]), None):
        with pytest.raises(WorkloadError, match="same samples"):
            agreement(a, Evaluation({}, other))


def test_metrics_by_the_names_of_a_recipe():
    recipe = SimpleNamespace(
        task="classification", metrics={"accuracy": MetricSpec(kind="top1"), "nll": MetricSpec(kind="loss")}
    )

    named = metrics_named(recipe)

    assert set(named) == {"top1", "top5", "loss", "accuracy", "nll"}  # perplexity is no figure of a classifier
    assert named["nll"].better == "lower"
    logits, targets = torch.eye(3), torch.tensor([0, 1, 0])
    evaluation = evaluate(nn.Identity(), TensorBatches(logits, targets, 3), list(named.values()))
    assert evaluation.scores["accuracy"] == evaluation.scores["top1"]


def test_a_built_in_name_keeps_its_meaning():
    with pytest.raises(WorkloadError, match="'top1' is built in and cannot be of kind 'loss'; choose another name"):
        metrics_named(SimpleNamespace(task="classification", metrics={"top1": MetricSpec(kind="loss")}))

    named = metrics_named(SimpleNamespace(task="classification", metrics={"top1": MetricSpec(kind="top1")}))
    assert named == metrics_named(SimpleNamespace(task="classification", metrics={}))


def test_task_loss_is_the_mean_of_the_loss_metric():
    logits, targets = torch.randn(20, 4), torch.arange(20) % 4

    mean = task_loss("classification")(logits, targets)

    assert float(mean) == pytest.approx(judged(logits, targets).scores["loss"].value, rel=1e-6)
    with pytest.raises(WorkloadError, match="'regression' is not available in this version"):
        task_loss("regression")


def test_the_error_of_a_difference_is_that_of_paired_samples():
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(2000, generator=generator, dtype=torch.float64)
    noise = torch.randn(2000, generator=generator, dtype=torch.float64) * 0.1
    a, b = (Evaluation({}, None, {"loss": values}) for values in (shared, shared + noise))

    assert difference_stderr(a, b, "loss") == pytest.approx(0.1 / 2000**0.5, rel=0.1)


def test_two_models_that_agree_on_every_sample_still_differ_by_up_to_one():
    right = torch.tensor([1.0, 0.0, 1.0, 1.0])
    a, b = (Evaluation({}, None, {"top1": right}) for _ in range(2))

    assert difference_stderr(a, b, "top1") == 0.25
