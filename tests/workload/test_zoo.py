"""Built-in models: sizes known from the literature, any image they promise to take, and a sane start."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from condensa_core.errors import WorkloadError
from condensa_core.randomness import Seed
from condensa_core.recipe import ModelSpec
from condensa_core.recipe.vocabulary import BUILTIN_MODELS
from condensa_core.recipe.vocabulary import LANGUAGE_MODELS as OF_TEXT
from condensa_core.workload import LANGUAGE_MODELS, ZOO, SampleShape, build_model, example_inputs, zoo_model

HERE = Path()
FAST = [name for name in ZOO if name != "resnet110"]
SMALLEST = {"lenet5": 16, "alexnet": 32}  # sides of images


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "shape", "parameters"),
    [
        ("lenet300", (1, 28, 28), 784 * 300 + 300 + 300 * 100 + 100 + 100 * 10 + 10),  # 266,610
        ("lenet5", (1, 28, 28), 431_080),  # Caffe's lenet.prototxt
        ("alexnet", (3, 32, 32), 2_472_266),
        ("vgg16-bn", (3, 32, 32), 14_728_266),
        ("vgg19-bn", (3, 32, 32), 20_040_522),
        ("vgg11-bn", (3, 32, 32), 9_231_114),
        ("resnet20", (3, 32, 32), 272_474),
    ],
)
def test_parameter_counts(name, shape, parameters):
    assert size(zoo_model(name, 10, shape, {})) == parameters


@pytest.mark.parametrize(("name", "n"), [("resnet20", 3), ("resnet32", 5), ("resnet56", 9), ("resnet110", 18)])
def test_resnets_have_6n_plus_2_layers_and_two_projections(name, n):
    model = zoo_model(name, 10, (3, 32, 32), {})

    convolutions = [part for part in model.modules() if isinstance(part, nn.Conv2d)]
    linear = [part for part in model.modules() if isinstance(part, nn.Linear)]

    assert sum(part.kernel_size == (3, 3) for part in convolutions) + len(linear) == 6 * n + 2
    assert sum(part.kernel_size == (1, 1) for part in convolutions) == 2


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (4, 45, 30)])
@pytest.mark.parametrize("name", FAST)
def test_any_image_gives_one_score_per_class(name, shape):
    if min(shape[1:]) < (smallest := SMALLEST.get(name, 1)):
        with pytest.raises(WorkloadError, match=f"{smallest} x {smallest}, the data has {shape[1]} x {shape[2]}"):
            zoo_model(name, 7, shape, {})
        return
    model = zoo_model(name, 7, shape, {}).eval()

    with torch.inference_mode():
        outputs = model(torch.randn(2, *shape))

    assert outputs.shape == (2, 7)
    assert outputs.isfinite().all()


@pytest.mark.parametrize("name", FAST)
def test_the_first_loss_is_that_of_guessing(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = zoo_model(name, 10, (1, 32, 32), {}).train()
        inputs, targets = torch.randn(32, 1, 32, 32), torch.arange(32) % 10

    loss = nn.functional.cross_entropy(model(inputs), targets)

    assert abs(loss.item() - math.log(10)) < 0.5


def test_small_cnn_arguments_widen_and_deepen_it():
    def filters(shape=(1, 28, 28), **args):
        model = zoo_model("small-cnn", 10, shape, args)
        return [(part.out_channels, part.stride[0]) for part in model.modules() if isinstance(part, nn.Conv2d)]

    assert filters() == [(32, 2), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1)]
    assert filters(width=4, depth=1, stages=2) == [(4, 2), (8, 2)]
    assert filters(shape=(1, 8, 8), width=4, depth=1, stages=2) == [(4, 1), (8, 2)]  # small images keep their pixels
    for width in (0, "8", True):
        with pytest.raises(WorkloadError, match="width must be a count"):
            filters(width=width)


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("vgg19bn", {}, "no model called 'vgg19bn'; did you mean 'vgg19-bn'"),
        ("perceptron", {}, "known: lenet300, lenet5"),
        ("small-cnn", {"widht": 3}, "no argument 'widht'; did you mean 'width'"),
        ("resnet20", {"width": 3}, "no argument 'width'; it takes none"),
    ],
)
def test_unknown_names_are_refused(name, args, message):
    with pytest.raises(WorkloadError, match=message):
        zoo_model(name, 10, (1, 28, 28), args)


def test_models_of_images_refuse_vectors():
    with pytest.raises(WorkloadError, match="vgg11-bn needs images"):
        zoo_model("vgg11-bn", 10, (784,), {})


SHAPE = SampleShape(10, (1, 8, 8))


def built(spec: ModelSpec, seed: int = 0, directory: Path = HERE, **options) -> nn.Module:
    return build_model(spec, splits=SHAPE, seed=Seed(seed), directory=directory, **options)


def test_recipes_know_every_model_and_no_other():
    assert set(BUILTIN_MODELS) == {*ZOO, *LANGUAGE_MODELS}
    assert set(OF_TEXT) == set(LANGUAGE_MODELS)


def test_initial_weights_follow_the_seed_and_nothing_else():
    spec = ModelSpec(builtin="small-cnn", args={"width": 4})
    torch.manual_seed(0)
    first = torch.nn.utils.parameters_to_vector(built(spec).parameters())
    before = torch.get_rng_state()

    again = torch.nn.utils.parameters_to_vector(built(spec).parameters())
    other = torch.nn.utils.parameters_to_vector(built(spec, seed=1).parameters())

    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


def test_own_models(tmp_path):
    (tmp_path / "models.py").write_text(
        "from torch import nn\n"
        "def build(width): return nn.Sequential(nn.Flatten(), nn.Linear(64, width))\n"
        "ready = nn.Linear(2, 2)\n"
        "def wrong(): return 'a model'\n"
    )

    model = built(ModelSpec(python="models.py:build", args={"width": 5}), directory=tmp_path)

    assert model(torch.zeros(3, 1, 8, 8)).shape == (3, 5)
    assert isinstance(built(ModelSpec(python="models.py:ready"), directory=tmp_path), nn.Linear)
    with pytest.raises(WorkloadError, match=r"returns a str, expected a torch.nn.Module"):
        built(ModelSpec(python="models.py:wrong"), directory=tmp_path)
    with pytest.raises(WorkloadError, match="takes no args"):
        built(ModelSpec(python="models.py:ready", args={"x": 1}), directory=tmp_path)
    with pytest.raises(WorkloadError, match="--no-python"):
        built(ModelSpec(python="models.py:build"), directory=tmp_path, allow_python=False)


def test_example_inputs_are_the_same_every_time():
    (first,) = example_inputs(ModelSpec(builtin="small-cnn"), SHAPE)
    (again,) = example_inputs(ModelSpec(builtin="small-cnn"), SHAPE)
    (named,) = example_inputs(ModelSpec(python="m.py:f", input={"image": (1, 8, 8)}), SHAPE, batch=4)

    assert first.shape == (2, 1, 8, 8)
    assert torch.equal(first, again)
    assert named.shape == (4, 1, 8, 8)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"image": (1, 8, 8), "mask": (8,)}, r"names 2 inputs \(image, mask\), this version takes one"),
        ({}, r"names 0 inputs \(none\)"),
        ({"image": (3, 5, 5)}, r"'image' has shape \[3, 5, 5\], the data gives \[1, 8, 8\]"),
        ({"image": (2, 1, 8, 8)}, "shapes are written without the batch"),
    ],
)
def test_inputs_the_data_does_not_give_are_refused(declared, message):
    with pytest.raises(WorkloadError, match=message):
        example_inputs(ModelSpec(python="m.py:f", input=declared), SHAPE)
