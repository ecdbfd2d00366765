"""Language models: perplexity against the definition, the built-in networks, and everything a run does with them."""

import math
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from condensa_core.errors import WorkloadError
from condensa_core.export import OnnxModel, check_parity, export_onnx
from condensa_core.graph import analyse
from condensa_core.learning import recalibrate_batchnorm
from condensa_core.materialise import deliver, deliverable, fold_batchnorm
from condensa_core.progress import Advanced, PhaseEnded
from condensa_core.randomness import Seed
from condensa_core.recipe import ConstraintSpec, DataSpec, MetricSpec, ModelSpec, ReferenceSpec, TrainSpec
from condensa_core.workload import (
    LANGUAGE_MODELS,
    LOSS,
    PERPLEXITY,
    TOP1,
    TOP5,
    Evaluation,
    SampleShape,
    TensorBatches,
    WindowBatches,
    agreement,
    build_model,
    check_fit,
    difference_stderr,
    evaluate,
    example_inputs,
    load_splits,
    metrics_named,
    reference,
    task_loss,
    train_reference,
    training_plan,
    zoo_model,
)

ALL = [PERPLEXITY, LOSS, TOP1, TOP5]
SMALL = {
    "lstm-lm": {"embedding": 6, "hidden": 8, "layers": 2},
    "transformer-lm": {"width": 8, "layers": 1, "heads": 2},
}


class Spoken(nn.Module):
    """Answers ids with the scores of a table: row i after token i, shifted by how far into the sample it is."""

    def __init__(self, scores: torch.Tensor) -> None:
        super().__init__()
        self.scores = nn.Parameter(scores)

    def forward(self, ids):
        return self.scores[ids] * (1 + 0.1 * torch.arange(ids.shape[1])).view(1, -1, 1)


def judged(scores, ids, batch=3) -> Evaluation:
    return evaluate(Spoken(scores), TensorBatches(ids[:, :-1], ids[:, 1:], batch), ALL)


def tokens(seed: int, n: int = 12, length: int = 5, classes: int = 7):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(classes, classes, generator=generator), torch.randint(
        classes, (n, length + 1), generator=generator
    )


@given(st.integers(1, 20), st.integers(1, 6), st.integers(2, 9), st.integers(1, 21), st.integers(0, 99))
def test_figures_are_those_of_all_tokens_laid_end_to_end(n, length, classes, batch, seed):
    # given
    table, ids = tokens(seed, n, length, classes)

    # when
    found = judged(table, ids, batch)

    # then
    with torch.no_grad():
        flat = Spoken(table)(ids[:, :-1]).double().reshape(-1, classes)
    targets = ids[:, 1:].reshape(-1)
    nats = -flat.log_softmax(1)[torch.arange(len(targets)), targets]
    assert found.scores["loss"].value == pytest.approx(float(nats.mean()), rel=1e-5)
    assert found.scores["perplexity"].value == pytest.approx(math.exp(float(nats.mean())), rel=1e-5)
    assert found.scores["top1"].value == pytest.approx(float((flat.argmax(1) == targets).double().mean()))
    assert all(score.count == n * length for score in found.scores.values())
    assert found.predictions.shape == (n, length)
    assert found.scores["perplexity"].better == "lower"


def test_the_error_of_perplexity_is_that_of_the_loss_times_perplexity():
    found = judged(*tokens(0, n=40)).scores

    assert found["perplexity"].stderr == pytest.approx(found["perplexity"].value * found["loss"].stderr, rel=1e-6)


def test_standard_errors_know_that_tokens_of_a_sample_go_together():
    # given: samples of an easy and a hard kind, whose tokens are all alike
    ids = torch.zeros(400, 9, dtype=torch.int64)
    ids[::2] = 1
    table = torch.tensor([[3.0, 0.0], [0.0, 0.0]])

    # when
    found = judged(table, ids).scores

    # then: 400 draws, not 3,200
    values = np.array([float(functional.cross_entropy(table[i], torch.tensor(i))) for i in (0, 1)])
    assert found["top1"].stderr == pytest.approx(0.5 / 20, rel=0.01)
    assert found["loss"].stderr == pytest.approx(np.ptp(values) / 2 / 20, rel=0.1)


def test_the_error_of_a_difference_matches_redrawn_texts():
    """The delta method against the spread over many texts of the same two models."""
    # given
    table, _ = tokens(1, classes=4)
    other = table + 0.3 * torch.randn(4, 4, generator=torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(2)

    # when
    differences, told = [], []
    for _ in range(200):
        ids = torch.randint(4, (60, 6), generator=generator)
        a, b = judged(table, ids, 60), judged(other, ids, 60)
        differences.append(a.scores["perplexity"].value - b.scores["perplexity"].value)
        told.append(difference_stderr(a, b, "perplexity"))

    # then: 200 draws know their own spread to 5 percent
    assert np.mean(told) == pytest.approx(np.std(differences), rel=0.2)
    alone = judged(table, ids, 60).scores["perplexity"].stderr
    assert told[-1] < alone  # what both find hard cancels


def test_agreement_counts_tokens():
    table, ids = tokens(3)
    a, b = judged(table, ids), judged(table + torch.randn(7, 7, generator=torch.Generator().manual_seed(0)), ids)

    found = agreement(a, b)

    same = (a.predictions == b.predictions).double()
    assert 0 < found.value < 1 and found.value == float(same.mean()) and found.count == same.numel()
    assert difference_stderr(a, a, "perplexity") == 0
    assert difference_stderr(a, a, "top1") == 1 / same.numel()
    with pytest.raises(WorkloadError, match="same samples"):
        agreement(a, judged(table, ids[:, :-1]))
    with pytest.raises(WorkloadError, match="same samples"):
        difference_stderr(a, judged(table, ids[:, :-1]), "loss")


def test_two_percent_of_perplexity_may_be_lost():
    bound = ConstraintSpec(metric="perplexity", max_rise="2%")

    assert bound.limit(5.0) == pytest.approx(1.02 * 5)
    assert bound.met(5.0999, 5.0) and bound.met(4.0, 5.0)
    assert not bound.met(5.1001, 5.0)


def test_metrics_of_the_task():
    recipe = SimpleNamespace(task="language-model", metrics={"ppl": MetricSpec(kind="perplexity")})

    named = metrics_named(recipe)

    assert set(named) == {"perplexity", "loss", "top1", "top5", "ppl"}
    table, ids = tokens(0)
    found = evaluate(Spoken(table), TensorBatches(ids[:, :-1], ids[:, 1:], 4), list(named.values()))
    assert found.scores["ppl"] == found.scores["perplexity"]
    with pytest.raises(WorkloadError, match="kind 'perplexity' is not available"):
        metrics_named(SimpleNamespace(task="classification", metrics=recipe.metrics))


def test_the_loss_is_the_mean_over_tokens():
    table, ids = tokens(0)

    loss = task_loss("language-model")(Spoken(table)(ids[:, :-1]).detach(), ids[:, 1:])

    assert float(loss) == pytest.approx(judged(table, ids).scores["loss"].value, rel=1e-6)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (torch.zeros(2, 3), r"gives \(2, 3\) for 2 samples of 4 tokens, expected one score per class for every token"),
        (torch.zeros(2, 7, 4), r"gives \(2, 7, 4\) for 2 samples of 4 tokens"),
        (torch.zeros(2, 4, 3), "the data holds class 6, the model knows 3 classes"),
        ((torch.zeros(2, 4, 7),), "gives a tuple for 2 samples of 4 tokens"),
    ],
)
def test_scores_of_another_shape_are_refused(outputs, message):
    class Fixed(nn.Module):
        def forward(self, ids):
            return outputs

    ids = torch.full((2, 4), 6)

    with pytest.raises(WorkloadError, match=message):
        evaluate(Fixed(), TensorBatches(ids, ids, 2), ALL)


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_a_token_is_predicted_from_those_before_it(name):
    # given
    torch.manual_seed(0)
    model = zoo_model(name, 11, (9,), SMALL[name]).eval()
    ids = torch.randint(11, (3, 9))
    changed = ids.clone()
    changed[:, 5] = (changed[:, 5] + 1) % 11

    # when
    with torch.no_grad():
        before, after, short = model(ids), model(changed), model(ids[:, :4])

    # then
    assert before.shape == (3, 9, 11)
    assert torch.equal(before[:, :5], after[:, :5])
    assert all(not torch.allclose(before[:, t], after[:, t]) for t in range(5, 9))
    torch.testing.assert_close(short, before[:, :4])


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_the_first_loss_is_that_of_guessing(name):
    for tied in ({}, {"tied": True}) if name == "lstm-lm" else ({},):
        torch.manual_seed(0)
        model = zoo_model(name, 50, (20,), tied)
        ids = torch.randint(50, (16, 20))

        assert float(task_loss("language-model")(model(ids), ids).detach()) == pytest.approx(math.log(50), abs=0.3)


def test_tied_weights_are_one_tensor():
    plain, tied, narrow = (
        zoo_model("lstm-lm", 30, (5,), {"embedding": 8, "hidden": hidden, "tied": tied})
        for hidden, tied in ((8, False), (8, True), (12, True))
    )

    assert tied.decoder.weight is tied.embedding.weight
    assert sum(p.numel() for p in plain.parameters()) - sum(p.numel() for p in tied.parameters()) == 30 * 8
    assert isinstance(tied.projection, nn.Identity) and narrow.projection.weight.shape == (8, 12)
    assert narrow(torch.zeros(2, 5, dtype=torch.int64)).shape == (2, 5, 30)


def test_the_size_that_is_promised():
    assert sum(p.numel() for p in zoo_model("lstm-lm", 256, (64,), {}).parameters()) == 690_944


@pytest.mark.parametrize(
    ("name", "shape", "args", "message"),
    [
        ("lstm-lm", (1, 8, 8), {}, "lstm-lm needs text"),
        ("lstm-lm", (8,), {"hidden": 0}, "hidden must be a count of at least 1, got 0"),
        ("lstm-lm", (8,), {"dropout": 1}, r"dropout must lie in \[0, 1\), got 1"),
        ("lstm-lm", (8,), {"tied": 1}, "tied must be true or false"),
        ("transformer-lm", (8,), {"width": 10, "heads": 4}, "4 heads do not divide a width of 10"),
        ("transformer-lm", (8,), {"head": 4}, "no argument 'head'; did you mean 'heads'"),
    ],
)
def test_impossible_models_are_refused(name, shape, args, message):
    with pytest.raises(WorkloadError, match=message):
        zoo_model(name, 10, shape, args)


@pytest.fixture
def corpus(tmp_path):
    """Sentences that a model of a few thousand weights learns in a second or two."""
    generator = np.random.default_rng(0)
    words = ["the cat ", "a dog ", "sat on ", "ran to ", "the mat.\n", "a tree.\n"]
    text = "".join(words[2 * (i % 3) + int(generator.integers(2))] for i in range(3000))
    (tmp_path / "corpus.txt").write_text(text)
    return tmp_path


def loaded(corpus, **settings):
    spec = DataSpec(builtin="text", path="corpus.txt", **{"level": "char", "length": 24, "batch": 16, **settings})
    return load_splits(spec, seed=Seed(0), directory=corpus)


SPEC = ModelSpec(builtin="lstm-lm", args={"embedding": 8, "hidden": 24})


def recipe_of(directory, model=SPEC, task="language-model", **train):
    return SimpleNamespace(
        model=model, reference=ReferenceSpec(train=TrainSpec(**train)), task=task, directory=directory
    )


def of_pairs(stream) -> float:
    """The perplexity of who knows how often each character follows each other one, and sees only the one before."""
    counts = torch.zeros(99, 99, dtype=torch.float64)
    counts.index_put_((stream[:-1].long(), stream[1:].long()), torch.ones(len(stream) - 1).double(), accumulate=True)
    shares = counts / counts.sum(1, keepdim=True)
    return math.exp(-float((counts * shares.log()).nansum() / counts.sum()))


def test_a_model_learns_text(corpus):
    # given
    splits = loaded(corpus)
    model = build_model(SPEC, splits=splits, seed=Seed(0), directory=corpus)
    events = []

    # when
    check_fit(model, SPEC, splits)
    plan = training_plan(None, splits, model)
    train_reference(model, splits, TrainSpec(epochs=6), seed=Seed(0), listener=events.append, task="language-model")

    # then
    assert (plan.optimizer, plan.lr, plan.weight_decay) == ("sgd", 1.0, 0)
    assert training_plan(TrainSpec(optimizer="adam"), splits, model).lr == 3e-3
    assert evaluate(model, splits.test, [PERPLEXITY]).scores["perplexity"].value < of_pairs(splits.test.stream)
    told = [event.values["val_perplexity"] for event in events if isinstance(event, Advanced)]
    assert evaluate(model, splits.val, [PERPLEXITY]).scores["perplexity"].value == pytest.approx(min(told))
    assert events[-1] == PhaseEnded("reference", f"validation perplexity {min(told):.4g}")


def test_the_reference_is_trained_once_and_its_task_must_fit(corpus):
    # given
    splits = loaded(corpus, limit=20)

    def made(recipe):
        model = build_model(SPEC, splits=splits, seed=Seed(0), directory=corpus)
        return reference(recipe, splits, model, seed=Seed(0), cache_dir=corpus / "cache")

    # then
    recipe = recipe_of(corpus, epochs=1)
    assert [made(recipe).source, made(recipe).source] == ["trained", "cached"]
    with pytest.raises(WorkloadError, match="'classification' does not read text; write task: language-model"):
        made(recipe_of(corpus, task="classification"))


def test_images_are_no_text(tmp_path):
    digits = load_splits(DataSpec(builtin="digits"), seed=Seed(0), directory=tmp_path)
    model = build_model(ModelSpec(builtin="lenet300"), splits=digits, seed=Seed(0), directory=tmp_path)

    with pytest.raises(WorkloadError, match="'language-model' needs text"):
        reference(recipe_of(tmp_path, ModelSpec(builtin="lenet300")), digits, model, seed=Seed(0), cache_dir=tmp_path)
    with pytest.raises(WorkloadError, match="lenet300 does not read text; built-in language models: lstm-lm"):
        build_model(ModelSpec(builtin="lenet300"), splits=SampleShape(9, (4,), 9), seed=Seed(0), directory=tmp_path)


def test_example_inputs_are_ids_of_the_whole_vocabulary():
    shape = SampleShape(40, (30,), vocabulary=40)

    (ids,) = example_inputs(ModelSpec(python="m.py:f"), shape, batch=20)

    assert ids.dtype == torch.int64 and ids.shape == (20, 30)
    assert set(ids.flatten().tolist()) == set(range(40))
    (given_by_hand,) = example_inputs(SPEC, SampleShape(40, (30,)), batch=20)
    assert torch.equal(given_by_hand, ids)


def test_models_and_data_of_ones_own(tmp_path):
    # given
    (tmp_path / "own.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "ids = torch.arange(60).view(10, 6) % 13\n"
        "def text(): return ids[:, :-1].to(torch.int16), ids[:, 1:].numpy()\n"
        "class Pairs(torch.utils.data.Dataset):\n"
        "    def __len__(self): return 10\n"
        "    def __getitem__(self, i): return ids[i, :-1], ids[i, 1:]\n"
        "def padded(): return ids[:, :-1], ids[:, 1:] - 1\n"
        "def uneven(): return ids, ids[:, 1:]\n"
        "def images(): return torch.zeros(10, 5), torch.arange(10)\n"
        "def model(): return nn.Sequential(nn.Embedding(13, 4), nn.Linear(4, 13))\n"
    )

    def splits_of(name, val=None):
        spec = {"train": {"python": f"own.py:{name}"}, "val": {"python": f"own.py:{val or name}"}}
        return load_splits(DataSpec.model_validate(spec), seed=Seed(0), directory=tmp_path)

    for name in ("text", "Pairs"):
        # when
        splits = splits_of(name)
        spec = ModelSpec(python="own.py:model")
        model = build_model(spec, splits=splits, seed=Seed(0), directory=tmp_path)
        check_fit(model, spec, splits)
        train_reference(model, splits, TrainSpec(epochs=2), seed=Seed(0), task="language-model")

        # then
        assert (splits.classes, splits.vocabulary, splits.input_shape) == (13, 13, (5,))
        assert evaluate(model, splits.val, [PERPLEXITY]).scores["perplexity"].count == 50
    for name, message in (
        ("padded", "gives negative token ids; every target is predicted"),
        ("uneven", r"gives tokens \(10, 6\) with targets \(10, 5\)"),
    ):
        with pytest.raises(WorkloadError, match=message):
            splits_of(name)
    with pytest.raises(WorkloadError, match="some parts of data give token ids and others do not"):
        splits_of("text", "images")


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_the_file_of_the_cut_model_is_the_cut_model(name, tmp_path):
    """What a run does with a candidate: cut, proven, folded, recalibrated, exported, judged as a file."""
    # given
    torch.manual_seed(0)
    model = zoo_model(name, 11, (6,), SMALL[name]).eval()
    inputs = example_inputs(ModelSpec(builtin=name), SampleShape(11, (6,)))
    graph, routes = deliverable(model, analyse(model, inputs), inputs)
    keep = {family.name: np.arange(family.size) % 2 == 0 for family in graph.families}
    batches = WindowBatches(torch.arange(140, dtype=torch.int32) % 11, 6, 5, training=True)

    # when
    small = deliver(model, graph, keep, inputs, routes).model  # shown to be the masked model, or refused
    folded = fold_batchnorm(small, inputs)
    recalibrate_batchnorm(folded, batches)
    reference_file = export_onnx(model, inputs, tmp_path / "reference.onnx")
    file = export_onnx(folded, inputs, tmp_path / "small.onnx", like=reference_file)

    # then
    assert graph.families and "module" in routes
    assert check_parity(file.path, folded, [(x,) for x, _ in batches]).ok
    assert file.size_bytes < reference_file.size_bytes
    assert file.inputs[0].element == "INT64" and file.inputs[0].shape == ("batch", 6)
    in_file, in_torch = (evaluate(module, batches, ALL) for module in (OnnxModel(file.path), folded))
    assert in_file.scores["perplexity"].value == pytest.approx(in_torch.scores["perplexity"].value, rel=1e-5)
    assert agreement(in_file, in_torch).value == 1
    operators = [node.op_type for node in onnx.load(file.path).graph.node]
    assert operators.count("LSTM") == (2 if name == "lstm-lm" else 0) and not {"Loop", "Scan"} & set(operators)
