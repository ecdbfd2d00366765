"""A model that cannot classify the data is refused before anything is trained, and a fitting one is left as it was."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from condensa_core.errors import WorkloadError
from condensa_core.randomness import Seed
from condensa_core.recipe import DataSpec, ModelSpec, ReferenceSpec, TrainSpec
from condensa_core.workload import SampleShape, build_model, check_fit, load_splits, reference

SEED = Seed(0)
DIGITS = SampleShape(10, (1, 8, 8))
MODELS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 10)
        self.norm = nn.BatchNorm1d(10)

    def forward(self, x):
        return self.norm(self.fc(x.flatten(1))) + torch.rand(())

class Pair(Net):
    def forward(self, x):
        y = super().forward(x)
        return y, y

class Two(Net):
    def forward(self, x, mask):
        return super().forward(x * mask)

class Flat(Net):
    def forward(self, x):
        return self.fc(x)

class Choice(Net):
    def forward(self, x):
        return super().forward(x).round().long()

class Nothing(Net):
    def forward(self, x):
        return super().forward(x) / 0 * 0

class Merged(Net):
    def forward(self, x):
        return super().forward(x).mean(0, keepdim=True)

def few():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 5))

def large():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

def many():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 1000))
"""
FLAT_LINE = MODELS.split("\n").index("        return self.fc(x)") + 1


@pytest.fixture(scope="module")
def digits():
    return load_splits(DataSpec(builtin="digits"), seed=SEED, directory=Path())


def built(folder: Path, name: str) -> tuple[nn.Module, ModelSpec]:
    (folder / "models.py").write_text(MODELS)
    spec = ModelSpec(python=f"models.py:{name}")
    return build_model(spec, splits=DIGITS, seed=SEED, directory=folder), spec


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("few", "the data holds class 9, the model knows 5 classes"),
        ("Pair", "gives a tuple for 4 samples, expected one score per class"),
        ("Two", r"the forward of models.py:Two needs 2 inputs"),
        ("Flat", rf"models.py:Flat failed at models.py:{FLAT_LINE}: RuntimeError: .* 4 samples of shape \[1, 8, 8\]"),
        ("large", r"models.py:large failed at linear.py:\d+: RuntimeError: .* given 4 samples of shape \[1, 8, 8\]"),
        ("Choice", "gives torch.int64, expected floating-point scores"),
        ("Nothing", r"the outputs of models.py:Nothing are not finite; .* a division by zero"),
        ("Merged", r"gives \(1, 10\) for 4 samples"),
    ],
)
def test_misfits_are_told(digits, tmp_path, name, message):
    module, spec = built(tmp_path, name)

    for known in (digits, DIGITS):
        with pytest.raises(WorkloadError, match=message):
            check_fit(module, spec, known)


@pytest.mark.parametrize("source", ["weights", "trained"])
def test_a_reference_that_does_not_fit_is_never_trained(digits, tmp_path, source):
    module, spec = built(tmp_path, "few")
    if source == "weights":
        save_file(module.state_dict(), tmp_path / "w.safetensors")
        spec = spec.model_copy(update={"weights": "w.safetensors"})
    recipe = SimpleNamespace(
        model=spec, reference=ReferenceSpec(train=TrainSpec(epochs=1)), task="classification", directory=tmp_path
    )
    events = []

    with pytest.raises(WorkloadError, match="the model knows 5 classes"):
        reference(recipe, digits, module, seed=SEED, cache_dir=tmp_path / "cache", listener=events.append)

    assert not events
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", ["Net", "many"])
def test_a_fitting_model_is_left_as_it_was(digits, tmp_path, name):
    module, spec = built(tmp_path, name)
    module.train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    random = torch.get_rng_state()

    check_fit(module, spec, digits)
    check_fit(module, spec, DIGITS)

    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert all(part.training for part in module.modules())
    assert all(parameter.grad is None for parameter in module.parameters())
    assert torch.equal(torch.get_rng_state(), random)
