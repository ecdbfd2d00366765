"""The model a recipe names: built in, or the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from condensa_core.errors import WorkloadError
from condensa_core.evaluation_mode import evaluating
from condensa_core.randomness import Seed
from condensa_core.workload.evaluation import check_scores, device_of, require_classes
from condensa_core.workload.global_state import keeping_global_state, seed_draws
from condensa_core.workload.python_reference import call_object, load_object, user_code
from condensa_core.workload.single_input import check_single_input
from condensa_core.workload.splits import SampleShape, Splits
from condensa_core.workload.zoo import LANGUAGE_MODELS, zoo_model

if TYPE_CHECKING:
    from condensa_core.recipe import ModelSpec

_TRIED: Final = 4  # samples; more than one, so that batch and classes cannot be mistaken for each other


def build_model(
    model: ModelSpec, *, splits: Splits | SampleShape, seed: Seed, directory: Path, allow_python: bool = True
) -> nn.Module:
    """The model with the initial weights that `seed` gives; those a recipe's `weights:` names are not loaded yet.

    A Python reference is called with the recipe's `args` (or taken as it is, if it is a module already). The global
    random state is left as it was.
    """
    with keeping_global_state():
        seed_draws(seed.child("workload", "model").root)
        if model.builtin is not None:
            if splits.vocabulary is not None and model.builtin not in LANGUAGE_MODELS:
                hint = "built-in language models: " + ", ".join(LANGUAGE_MODELS)
                raise WorkloadError(f"{model.builtin} does not read text", hint=hint)
            return zoo_model(model.builtin, splits.classes, splits.input_shape, model.args)
        reference = model.python
        if reference is None:
            raise WorkloadError("the recipe names no model", hint="write builtin or python under model")
        found = load_object(reference, directory, allow_python=allow_python)
        if isinstance(found, nn.Module):
            if model.args:
                raise WorkloadError(
                    f"{reference} is a module already and takes no args",
                    hint="leave out args, or name a function that takes them",
                )
            return found
        built = call_object(reference, found, model.args, directory)
        if not isinstance(built, nn.Module):
            raise WorkloadError(
                f"{reference} returns a {type(built).__name__}, expected a torch.nn.Module",
                hint="return the model that the recipe compresses",
            )
        return built


def example_inputs(model: ModelSpec, splits: Splits | SampleShape, batch: int = 2) -> tuple[Tensor, ...]:
    """Inputs of `batch` samples by which the model can be traced: the same draws every time, standard normal ones or,
    of data or for models of text, ids from the whole vocabulary.

    Their shape (without the batch) is the data's. WorkloadError where the recipe's `input:` says something else: a
    model takes one input in this version, and it is a sample.
    """
    if model.input is not None and len(model.input) != 1:
        names = ", ".join(model.input) or "none"
        raise WorkloadError(f"model.input names {len(model.input)} inputs ({names}), this version takes one")
    for name, shape in (model.input or {}).items():
        if tuple(shape) != tuple(splits.input_shape):
            raise WorkloadError(
                f"model.input {name!r} has shape {list(shape)}, the data gives {list(splits.input_shape)}",
                hint="shapes are written without the batch; leave `input` out to take the data's",
            )
    generator = Seed(0).torch_generator("workload", "example")
    shape = (batch, *splits.input_shape)
    # a shape given by hand, as to look at a built-in model, says nothing of a vocabulary
    vocabulary = splits.classes if model.builtin in LANGUAGE_MODELS else splits.vocabulary
    if vocabulary is not None:
        return (torch.randint(vocabulary, shape, generator=generator),)
    return (torch.randn(shape, generator=generator),)


def check_fit(module: nn.Module, model: ModelSpec, splits: Splits | SampleShape, *, loaded: bool = False) -> None:
    """WorkloadError unless `module` gives a score for every class, tried on a few samples before compute is spent:
    one for each sample, or for each token of it.

    They are the first of `val`, or `example_inputs` where only a shape is known. Whatever the forward raises is told
    with its line. The scores of a module that has its weights, `loaded` or initial ones, must be finite. Parameters,
    training flags and the global random state are left as they were.
    """
    inputs = next(iter(splits.val))[0] if isinstance(splits, Splits) else example_inputs(model, splits, _TRIED)[0]
    inputs = inputs[:_TRIED]
    name = model.python or model.builtin or type(module).__name__
    check_single_input(module, name)
    hint = f"it was given {len(inputs)} samples of shape {list(inputs.shape[1:])}"
    # no_grad, not inference mode: what a module makes in its first forward must still learn
    with torch.random.fork_rng(devices=[]), evaluating(module), torch.no_grad(), user_code(name, hint):
        outputs = module(inputs.to(device_of(module)))
        check_scores(outputs, inputs.shape if splits.vocabulary else inputs.shape[:1], classes=0)
    if isinstance(splits, Splits):
        splits.check_classes(outputs.shape[-1])
    require_classes(splits.classes, outputs.shape[-1])
    if (loaded or model.weights is None) and not bool(outputs.isfinite().all()):
        raise WorkloadError(
            f"the outputs of {name} are not finite",
            hint=f"{hint}: look for a division by zero, a logarithm or a root in its forward, and at its weights",
        )
