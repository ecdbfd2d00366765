"""The built-in models, one family a file: name → builder(classes, input_shape, **args)."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from torch import nn

from condensa_core.errors import WorkloadError
from condensa_core.workload.zoo.alexnet import alexnet
from condensa_core.workload.zoo.initialisation import initialise
from condensa_core.workload.zoo.lenet import lenet5, lenet300
from condensa_core.workload.zoo.lstm_lm import lstm_lm
from condensa_core.workload.zoo.resnet import resnet20, resnet32, resnet56, resnet110
from condensa_core.workload.zoo.small_cnn import small_cnn
from condensa_core.workload.zoo.transformer_lm import transformer_lm
from condensa_core.workload.zoo.vgg import vgg11_bn, vgg16_bn, vgg19_bn

__all__ = ["LANGUAGE_MODELS", "ZOO", "zoo_model"]

# Models of images.
ZOO: Final[dict[str, Callable[..., nn.Module]]] = {
    "lenet300": lenet300,
    "lenet5": lenet5,
    "alexnet": alexnet,
    "vgg11-bn": vgg11_bn,
    "vgg16-bn": vgg16_bn,
    "vgg19-bn": vgg19_bn,
    "resnet20": resnet20,
    "resnet32": resnet32,
    "resnet56": resnet56,
    "resnet110": resnet110,
    "small-cnn": small_cnn,
}
# Models of text: `classes` is the vocabulary, `input_shape` the length of a window.
LANGUAGE_MODELS: Final[dict[str, Callable[..., nn.Module]]] = {
    "lstm-lm": lstm_lm,
    "transformer-lm": transformer_lm,
}


def zoo_model(name: str, classes: int, input_shape: tuple[int, ...], args: Mapping[str, Any]) -> nn.Module:
    """The built-in model of that name, freshly initialised from torch's global generator.

    WorkloadError for an unknown name or argument (with the nearest known one) and for data the model cannot take.
    """
    builders = {**ZOO, **LANGUAGE_MODELS}
    if name not in builders:
        raise WorkloadError(f"no model called {name!r}", hint=_hint(name, list(builders)))
    takes = [key for key in inspect.signature(builders[name]).parameters if key not in ("classes", "input_shape")]
    for key in args:
        if key not in takes:
            raise WorkloadError(f"model {name!r} has no argument {key!r}", hint=_hint(key, takes))
    model = builders[name](classes, input_shape, **args)
    initialise(model)
    return model


def _hint(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return "known: " + ", ".join(known) if known else "it takes none"
