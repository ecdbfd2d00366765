"""The words of format 1 that name things outside the recipe: data, models, metrics, objectives; also those to come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from condensa_core.platforms import DEVICES_OF

FORMAT: Final = 1

BUILTIN_MODELS: Final = (
    "small-cnn",
    "lenet300",
    "lenet5",
    "alexnet",
    "vgg11-bn",
    "vgg16-bn",
    "vgg19-bn",
    "resnet20",
    "resnet32",
    "resnet56",
    "resnet110",
    "lstm-lm",
    "transformer-lm",
)
LANGUAGE_MODELS: Final = ("lstm-lm", "transformer-lm")
OF_ALL_DATA: Final = ("batch", "limit")
_OF_IMAGES: Final = ("val_fraction", "val_count", "augment")
_OF_TEXTS: Final = ("level", "length", "vocabulary")
# Built-in data and the settings each takes besides those of all.
BUILTIN_DATA: Final[Mapping[str, tuple[str, ...]]] = {
    "digits": _OF_IMAGES,
    "fashion-mnist": (*_OF_IMAGES, "path", "download"),
    "cifar10": (*_OF_IMAGES, "path"),
    "cifar100": (*_OF_IMAGES, "path"),
    "image-folder": (*_OF_IMAGES, "path", "size"),
    "python-text": (*_OF_TEXTS, "val_fraction", "max_bytes"),
    "text": (*_OF_TEXTS, "val_fraction", "path"),
    "wikitext2": (*_OF_TEXTS, "path"),
}
TEXT_DATA: Final = ("python-text", "text", "wikitext2")
DATA_WITH_PATH: Final = ("image-folder", "text", "wikitext2")  # which cannot be found without
DEFAULT_TASK: Final = "classification"
LANGUAGE_TASK: Final = "language-model"

Better = Literal["higher", "lower"]
# What a number measures decides which units it may carry.
Dimension = Literal["fraction", "number", "rate", "time", "bytes", "count"]


@dataclass(frozen=True)
class Figure:
    """A number condensa can know of a model: its good direction, what it measures, and whether a runtime must tell."""

    better: Better
    dimension: Dimension
    on_hardware: bool = False


METRIC_KINDS: Final[Mapping[str, Figure]] = {
    "top1": Figure("higher", "fraction"),
    "top5": Figure("higher", "fraction"),
    "loss": Figure("lower", "number"),
    "perplexity": Figure("lower", "number"),
}
# Tasks and the kinds of metrics each has.
TASKS: Final[Mapping[str, tuple[str, ...]]] = {
    DEFAULT_TASK: ("top1", "top5", "loss"),
    LANGUAGE_TASK: ("perplexity", "loss", "top1", "top5"),
}
LATER_METRIC_KINDS: Final = ("accuracy", "f1", "map")

OBJECTIVES: Final[Mapping[str, Figure]] = {
    "throughput": Figure("higher", "rate", on_hardware=True),
    "latency.p50": Figure("lower", "time", on_hardware=True),
    "latency.p90": Figure("lower", "time", on_hardware=True),
    "latency.p99": Figure("lower", "time", on_hardware=True),
    "latency.mean": Figure("lower", "time", on_hardware=True),
    "macs": Figure("lower", "count"),
    "params": Figure("lower", "count"),
    "size.onnx": Figure("lower", "bytes"),
    "size.packed": Figure("lower", "bytes"),
}
SHORT_OBJECTIVES: Final[Mapping[str, str]] = {"latency": "latency.p50"}
LATER_OBJECTIVES: Final = ("size.weights", "size.engine", "memory.peak", "energy")
# What gates can bound besides: facts of the engine that ships.
ENGINE_FIGURES: Final[Mapping[str, Figure]] = {
    "size.engine": Figure("lower", "bytes"),
    "memory.weights": Figure("lower", "bytes"),
}

RUNTIMES: Final = tuple(DEVICES_OF)  # that a target can have
ENGINE_BACKENDS: Final = ("tensorrt", "tensorrt-rtx")
PROGRAM_BACKENDS: Final = ("torch", "torch-inductor")  # which time programs of torch.export, in floating point

IMPLIED_KNOB: Final = "sparsity"
IMPLIED_RANGE: Final = (0.0, 0.95)
DEFAULT_TARGET: Final = "cpu"

_OF_PROCESSES: Final = ("kernel", "prior", "coordinates")
# Search methods and the settings each takes besides those of all.
SEARCH_METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    "level-set": ("least_gain",),
    "ils-ucb": ("gamma", *_OF_PROCESSES),
    "dr-ucb": ("gamma", *_OF_PROCESSES),
    "straddle": ("beta", *_OF_PROCESSES),
    "ei": _OF_PROCESSES,
    "pi": _OF_PROCESSES,
    "ucb": ("beta", *_OF_PROCESSES),
    "bisection": ("coordinates",),
    "probabilistic-bisection": ("confidence", "coordinates"),
    "grid": ("coordinates",),
    "random": ("coordinates",),
    "sobol": ("coordinates",),
    "pareto": (),
    "scbo": (),
    "log-nei": (),
    "none": (),
}
# Those that walk one knob, and those that are about several.
ONE_KNOB_METHODS: Final = frozenset({"bisection", "probabilistic-bisection", "dr-ucb"})
MANY_KNOB_METHODS: Final = frozenset({"pareto", "scbo", "log-nei"})
SEARCH_KERNELS: Final = ("matern-1/2", "matern-3/2", "matern-5/2", "rbf")
SEARCH_PRIORS: Final = ("gamma", "log-normal", "flat")
SEARCH_COORDINATES: Final = ("scaled", "raw")
