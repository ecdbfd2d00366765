"""The model a recipe names: built in, or the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from condensa_core.errors import WorkloadError
from condensa_core.randomness import Seed
from condensa_core.workload.python_reference import call_object, load_object
from condensa_core.workload.splits import SampleShape, Splits
from condensa_core.workload.zoo import zoo_model

if TYPE_CHECKING:
    from condensa_core.recipe import ModelSpec


def build_model(
    model: ModelSpec, *, splits: Splits | SampleShape, seed: Seed, directory: Path, allow_python: bool = True
) -> nn.Module:
    """The model with the initial weights that `seed` gives; those a recipe's `weights:` names are not loaded yet.

    A Python reference is called with the recipe's `args` (or taken as it is, if it is a module already). The global
    random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed.child("workload", "model").root)
        if model.builtin is not None:
            return zoo_model(model.builtin, splits.classes, splits.input_shape, model.args)
        reference = model.python
        if reference is None:
            raise WorkloadError("the recipe names no model", hint="write builtin or python under model")
        found = load_object(reference, directory, allow_python=allow_python)
        if isinstance(found, nn.Module):
            if model.args:
                raise WorkloadError(f"{reference} is a module already and takes no args")
            return found
        built = call_object(reference, found, model.args, directory)
        if not isinstance(built, nn.Module):
            raise WorkloadError(f"{reference} returns a {type(built).__name__}, expected a torch.nn.Module")
        return built


def example_inputs(model: ModelSpec, splits: Splits | SampleShape, batch: int = 2) -> tuple[Tensor, ...]:
    """Inputs of `batch` samples by which the model can be traced: the same standard normal draws every time.

    Shapes are those under the recipe's `input:` (without the batch), in its order, else the data's.
    """
    shapes = [splits.input_shape] if model.input is None else [tuple(dims) for dims in model.input.values()]
    generator = Seed(0).torch_generator("workload", "example")
    return tuple(torch.randn((batch, *shape), generator=generator) for shape in shapes)
