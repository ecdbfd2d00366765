"""Reference training: good, repeatable, honest about divergence; and its cache."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from condensa_core.errors import Diverged, Interrupted, WorkloadError
from condensa_core.progress import Advanced, Note, PhaseEnded, PhaseStarted, Waiting
from condensa_core.randomness import Seed
from condensa_core.recipe import DataSpec, ModelSpec, ReferenceSpec, TrainSpec
from condensa_core.workload import TOP1, build_model, evaluate, load_splits, reference, train_reference, training_plan
from condensa_core.workload.training import lr_share

HERE = Path()
SEED = Seed(0)
SMALL = ModelSpec(builtin="small-cnn", args={"width": 8, "depth": 1, "stages": 2})


@pytest.fixture(scope="module")
def digits():
    return load_splits(DataSpec(builtin="digits"), seed=SEED, directory=HERE)


def model_of(splits, spec: ModelSpec = SMALL, seed: Seed = SEED, directory: Path = HERE) -> nn.Module:
    return build_model(spec, splits=splits, seed=seed, directory=directory)


def recipe_of(directory: Path, model: ModelSpec = SMALL, **train) -> SimpleNamespace:
    return SimpleNamespace(
        model=model,
        reference=ReferenceSpec(train=TrainSpec(**{"epochs": 1, **train})),
        task="classification",
        directory=directory,
    )


def weights(module: nn.Module) -> torch.Tensor:
    return torch.cat([value.flatten().double() for value in module.state_dict().values()])


def test_defaults_make_a_respectable_reference(digits):
    module = model_of(digits, ModelSpec(builtin="small-cnn", args={"width": 16, "stages": 2}))

    trained = train_reference(module, digits, None, seed=SEED)

    assert trained is module
    assert evaluate(module, digits.test, [TOP1]).scores["top1"].value >= 0.97


def test_defaults_suit_models_without_batchnorm(digits):
    module = model_of(digits, ModelSpec(builtin="lenet300"))

    train_reference(module, digits, None, seed=SEED)

    assert evaluate(module, digits.test, [TOP1]).scores["top1"].value >= 0.95


def test_the_same_seed_trains_the_same_weights(digits):
    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10))

        def forward(self, x):
            return self.net(x)

    def trained(seed: int) -> torch.Tensor:
        torch.manual_seed(0)
        return weights(train_reference(Dropping(), digits, TrainSpec(epochs=2), seed=Seed(seed)))

    first = trained(0)
    before = torch.get_rng_state()

    assert torch.equal(trained(0), first)
    assert not torch.equal(trained(1), first)
    torch.manual_seed(0)
    Dropping()
    assert torch.equal(torch.get_rng_state(), before)  # dropout drew from its own stream


class Wilting(nn.Module):
    """Gives up after 100 training steps, which its state remembers; of 33-step epochs the first three are good."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 10)
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x):
        self.steps += self.training
        return self.fc(x.flatten(1)) * (self.steps < 100)


def test_the_best_epoch_by_validation_is_kept(digits):
    seen = []
    module = Wilting()

    train_reference(module, digits, TrainSpec(epochs=5), seed=SEED, listener=seen.append)

    assert seen[0] == PhaseStarted("reference", 5, "5 epochs, 1078 samples")
    assert isinstance(seen[-1], PhaseEnded)
    advanced = [event for event in seen if isinstance(event, Advanced)]
    assert [event.done for event in advanced] == [1, 2, 3, 4, 5]
    # it can be stopped before each batch that it learns from or is judged on
    assert seen.count(Waiting()) == 5 * (len(list(digits.train.epoch(0))) + len(digits.val))
    accuracies = [event.values["val_top1"] for event in advanced]
    assert accuracies[4] < 0.2 < 0.8 < max(accuracies)
    assert evaluate(module, digits.val, [TOP1]).scores["top1"].value == max(accuracies)


def test_a_trained_model_has_its_weights_in_the_usual_order(digits):
    module = train_reference(model_of(digits), digits, TrainSpec(epochs=1), seed=SEED)

    assert all(parameter.is_contiguous() for parameter in module.parameters())


def test_divergence_names_the_step(digits):
    class Poisoned(nn.Module):
        """Its 40th training batch meets a NaN."""

        def __init__(self) -> None:
            super().__init__()
            self.fc, self.seen = nn.Linear(64, 10), 0

        def forward(self, x):
            self.seen += self.training
            return self.fc(x.flatten(1)) * (math.nan if self.training and self.seen == 40 else 1.0)

    with pytest.raises(Diverged, match=r"the loss is nan at step 39 \(epoch 1\)"):  # 33 steps an epoch
        train_reference(Poisoned(), digits, TrainSpec(epochs=3), seed=SEED)


def test_plan_fills_what_the_recipe_leaves_open(digits):
    plain, normalised = model_of(digits, ModelSpec(builtin="lenet300")), model_of(digits)

    assert training_plan(TrainSpec(), digits, normalised).lr == 0.1
    assert training_plan(TrainSpec(), digits, plain).lr == 0.02
    assert training_plan(TrainSpec(optimizer="adam"), digits, plain).lr == 1e-3
    given = training_plan(TrainSpec(epochs=3, lr=0.5, batch=7, weight_decay=0, momentum=0), digits, plain)
    assert (given.epochs, given.lr, given.batch, given.weight_decay, given.momentum) == (3, 0.5, 7, 0, 0)


@pytest.mark.parametrize("steps", [1, 2, 7, 1000])
def test_learning_rate_rises_then_falls(steps):
    shares = [lr_share(step, steps) for step in range(steps)]

    peak = shares.index(max(shares))
    assert max(shares) == 1
    assert all(0 < share <= 1 for share in shares)
    assert shares[:peak] == sorted(shares[:peak])
    assert shares[peak:] == sorted(shares[peak:], reverse=True)
    if steps == 1000:
        assert shares[150 - 1] == 1
        assert shares[150 + 425] == pytest.approx(0.5)  # half way down
        assert shares[-1] == 1e-3


def test_adam_without_momentum_and_a_model_without_parameters(digits):
    train_reference(model_of(digits), digits, TrainSpec(epochs=1, optimizer="adam", momentum=0), seed=SEED)
    with pytest.raises(WorkloadError, match="no parameters to train"):
        train_reference(nn.Flatten(), digits, TrainSpec(epochs=1), seed=SEED)


def test_a_reference_is_trained_once(digits, tmp_path):
    def made(seed: Seed = SEED, **train):
        module = model_of(digits, seed=seed)
        return reference(recipe_of(tmp_path, **train), digits, module, seed=seed, cache_dir=tmp_path / "cache")

    first, again = made(), made()

    assert (first.source, again.source) == ("trained", "cached")
    assert torch.equal(weights(first.module), weights(again.module))
    assert first.sha256 == again.sha256
    assert first.history == again.history
    assert len(first.history) == 1
    assert made(lr=0.05).source == "trained"
    assert made(seed=Seed(1)).source == "trained"
    assert [file.suffix for file in (tmp_path / "cache").iterdir()] == [".safetensors"] * 3  # no half-written files


def test_other_data_or_code_is_another_reference(digits, tmp_path):
    code = "from torch import nn\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    code += "        self.fc = nn.Linear(64, 10)\n    def forward(self, x): return self.fc(x.flatten(1))"
    own = ModelSpec(python="models.py:Net")

    def made(splits) -> str:
        module = model_of(splits, own, directory=tmp_path)
        return reference(recipe_of(tmp_path, own), splits, module, seed=SEED, cache_dir=tmp_path).source

    (tmp_path / "models.py").write_text(code + "\n")
    assert [made(digits), made(digits)] == ["trained", "cached"]
    fewer = load_splits(DataSpec(builtin="digits", limit=300), seed=SEED, directory=HERE)
    assert made(fewer) == "trained"
    (tmp_path / "models.py").write_text(code + " * 2\n")  # same parameters, another function
    assert made(digits) == "trained"


def test_an_argument_that_shows_in_no_weight_is_another_reference(digits, tmp_path):
    code = "from torch import nn\nclass Net(nn.Module):\n    def __init__(self, scale):\n        super().__init__()\n"
    code += "        self.scale, self.fc = scale, nn.Linear(64, 10)\n"
    code += "    def forward(self, x): return self.scale * self.fc(x.flatten(1))\n"
    (tmp_path / "models.py").write_text(code)

    def made(scale: float) -> str:
        own = ModelSpec(python="models.py:Net", args={"scale": scale})
        module = model_of(digits, own, directory=tmp_path)
        return reference(recipe_of(tmp_path, own), digits, module, seed=SEED, cache_dir=tmp_path).source

    assert [made(1.0), made(1.0), made(2.0)] == ["trained", "cached", "trained"]


def test_an_entry_under_the_name_of_another_is_told_and_replaced(digits, tmp_path):
    notes: list[Note] = []

    def made(lr: float):
        module = model_of(digits)
        recipe = recipe_of(tmp_path, lr=lr)
        return reference(recipe, digits, module, seed=SEED, cache_dir=tmp_path / "c", listener=notes.append)

    made(0.01)
    (one,) = (tmp_path / "c").iterdir()
    right = made(0.02)
    (other,) = set((tmp_path / "c").iterdir()) - {one}
    other.write_bytes(one.read_bytes())  # sound weights, of the same shapes, trained otherwise
    notes.clear()

    again = made(0.02)

    assert again.source == "trained" and again.sha256 == right.sha256
    assert "is the reference of another model" in next(e.message for e in notes if isinstance(e, Note))


def test_a_reference_of_another_torch_is_taken_and_told(digits, tmp_path, monkeypatch):
    notes: list[Note] = []

    def made():
        module = model_of(digits)
        return reference(recipe_of(tmp_path), digits, module, seed=SEED, cache_dir=tmp_path, listener=notes.append)

    with monkeypatch.context() as earlier:
        earlier.setattr(torch, "__version__", "1.0.earlier")
        made()
    notes.clear()

    assert made().source == "cached"
    assert "trained by torch 1.0.earlier" in notes[0].message


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign", "empty"])
def test_a_damaged_cache_entry_is_told_and_replaced(digits, tmp_path, damage):
    events = []

    def made():
        module = model_of(digits)
        return reference(
            recipe_of(tmp_path), digits, module, seed=SEED, cache_dir=tmp_path / "cache", listener=events.append
        )

    first = made()
    (entry,) = (tmp_path / "cache").iterdir()
    content = bytearray(entry.read_bytes())
    if damage == "flipped":
        content[-3] ^= 1
    entry.write_bytes({"cut": content[:-5], "empty": b""}.get(damage, bytes(content)))
    if damage == "foreign":
        save_file({"x": torch.zeros(1)}, entry)
    events.clear()

    second = made()

    notes = [event for event in events if isinstance(event, Note)]
    assert [note.level for note in notes] == ["warning"]
    assert "training it again" in notes[0].message
    assert second.source == "trained"
    assert torch.equal(weights(first.module), weights(second.module))
    assert made().source == "cached"


def test_weights_from_a_file_are_not_trained(digits, tmp_path):
    saved = model_of(digits, seed=Seed(9))
    save_file(saved.state_dict(), tmp_path / "w.safetensors")
    spec = SMALL.model_copy(update={"weights": "w.safetensors"})

    loaded = reference(recipe_of(tmp_path, spec), digits, model_of(digits), seed=SEED, cache_dir=tmp_path / "cache")

    assert loaded.source == "weights"
    assert loaded.history == ()
    assert torch.equal(weights(loaded.module), weights(saved))
    assert not (tmp_path / "cache").exists()


def test_an_interrupted_training_leaves_no_entry(digits, tmp_path):
    def stop(event):
        if isinstance(event, Advanced):
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        reference(recipe_of(tmp_path), digits, model_of(digits), seed=SEED, cache_dir=tmp_path / "c", listener=stop)

    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("folder", ["file/cache", "x" * 300])  # below a file; a name no file system takes
def test_a_cache_that_cannot_be_written_loses_no_reference(digits, tmp_path, folder):
    (tmp_path / "file").write_text("in the way")
    notes = []

    kept = reference(
        recipe_of(tmp_path), digits, model_of(digits), seed=SEED, cache_dir=tmp_path / folder, listener=notes.append
    )

    assert kept.source == "trained"
    told = [event for event in notes if isinstance(event, Note)]
    assert [note.level for note in told] == ["warning"]
    assert "could not be kept in" in told[0].message


def test_more_outputs_while_learning_are_refused(digits):
    class Auxiliary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(64, 10)

        def forward(self, x):
            y = self.fc(x.flatten(1))
            return (y, y) if self.training else y

    with pytest.raises(WorkloadError, match="gives a tuple for 32 samples"):
        train_reference(Auxiliary(), digits, TrainSpec(epochs=1), seed=SEED)
