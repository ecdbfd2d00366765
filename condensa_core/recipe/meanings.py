"""What each key of a recipe means, in one sentence with its unit: for the JSON Schema and the page docs/recipe.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_SPARSITY: Final = "Fraction removed, at least 0 and below 1; left out it is the knob `sparsity`"
_ARGS: Final = "What it is called with, by the names of its parameters."
_MAX_DROP: Final = (
    "How far it may fall below the reference's value: `2pp` in percentage points, `2%` in percent of that value, for "
    "metrics of no fraction a plain number."
)
_MAX_RISE: Final = "How far it may rise above the reference's value, written as `max_drop`."
_AT_LEAST: Final = "The least value, in the figure's own unit, or as a multiple of the reference's: `1.5x`."
_AT_MOST: Final = "The greatest value, in the figure's own unit (`6MiB`, `5ms`), or as a multiple of the reference's."
_ALPHA: Final = "What is paid"
_TRAINING: Final = {
    "epochs": "Passes over the training data.",
    "lr": "Learning rate, above 0.",
    "batch": "Samples of one step.",
    "optimizer": "The optimiser.",
    "weight_decay": "Weight decay, 0 or more.",
    "momentum": "Momentum, at least 0 and below 1.",
}
_BOUND: Final = {
    "max_drop": _MAX_DROP,
    "max_rise": _MAX_RISE,
    "at_least": _AT_LEAST,
    "at_most": _AT_MOST,
}
_LAYERS_ALIKE: Final = {
    "match": "Names of layers, with `*` for any text, `re:` before a regular expression, `all` for every layer.",
    "type": "Types of layers, as `Conv2d`: any of these.",
    "role": "What layers are in the network: any of these.",
}

# By the names of the schema's definitions; `Recipe` is the whole.
MEANINGS: Final[Mapping[str, Mapping[str, str]]] = {
    "Recipe": {
        "condensa": "The version of the format.",
        "name": "What runs are called; the file's name without its ending where left out.",
        "description": "A note for readers.",
        "seed": "Where every random choice of a run starts from.",
        "vars": "Constants, used elsewhere as `$NAME`.",
        "knobs": "What the search may vary, used in schemes as `$NAME`.",
        "patterns": "Patterns of your own for `prune`, by name.",
        "model": "The model.",
        "task": "What the model does; it decides which metrics there are.",
        "data": "The data.",
        "reference": "How the reference is trained where the model has no weights.",
        "metrics": "Names for metrics of quality.",
        "targets": "Where candidates are timed, by name.",
        "keep": "Layers that nothing may touch.",
        "layers": "Rules: which layers get which scheme.",
        "compress": "How compression is learned.",
        "constraint": "The bound on quality that every candidate must keep.",
        "objective": "What to improve.",
        "search": "How the knobs are searched.",
        "gates": "Further bounds, checked on the file that ships.",
        "output": "What is written, and where.",
    },
    "KnobSpec": {
        "range": "The least and the greatest value.",
        "step": "Distance between the values tried, from the low end on; left out any value of the range.",
        "log": "Whether the range is searched on a log scale.",
        "choices": "The values, instead of a range; numbers in ascending order.",
    },
    "ModelSpec": {
        "builtin": "A model of condensa's own.",
        "python": "A class or function that gives a module, as `file.py:NAME` or `package.module:NAME`.",
        "args": _ARGS,
        "weights": "File of trained weights, from the recipe's folder; without it the reference is trained.",
        "sha256": "SHA-256 of the file of weights, 64 hexadecimal digits.",
        "input": "Names and shapes of the model's inputs, without the batch.",
    },
    "SourceSpec": {
        "python": "A callable that gives the samples, as `file.py:NAME` or `package.module:NAME`.",
        "args": _ARGS,
        "batch": "Samples of a batch.",
        "limit": "The most samples read.",
    },
    "DataSpec": {
        "builtin": "A known data set.",
        "path": "Folder of the files, or a text file.",
        "size": "`image-folder`: pixels of a side.",
        "download": "`fashion-mnist`: whether missing files are fetched.",
        "batch": "Samples of a batch.",
        "limit": "The most samples of each split.",
        "val_fraction": "Fraction of the training part that is cut off for validation.",
        "val_count": "The same as a number of samples.",
        "augment": "Images: how training samples are varied.",
        "level": "Texts: what a token is.",
        "length": "Texts: tokens of a sample.",
        "vocabulary": "Texts: the most different tokens.",
        "max_bytes": "`python-text`: the most bytes read.",
        "train": "Samples to train on, from Python.",
        "val": "Samples that steer the search, from Python.",
        "test": "Samples that are read once, at the end, from Python.",
        "calib": "Samples that metrics of weights and the reach of activations are taken from, from Python.",
    },
    "ReferenceSpec": {"train": "How it is trained."},
    "TrainSpec": _TRAINING,
    "MetricSpec": {
        "kind": "What is measured.",
        "better": "Its good direction: a check, since each kind has one.",
    },
    "TargetSpec": {
        "backend": "The runtime.",
        "device": "What it computes on; left out the first that the backend knows.",
        "arch": "Compute capabilities that an engine is built for, as `sm89`; left out the GPU of the machine.",
        "precision": "The precision that layers compute in.",
        "batch": "Samples of one inference.",
        "threads": "Threads of the runtime.",
        "if_missing": "What happens where this machine has no such target: an error, or nothing is timed on it.",
    },
    "KeepSpec": {"match": _LAYERS_ALIKE["match"], "why": "The reason, for readers."},
    "ExceptSpec": _LAYERS_ALIKE,
    "RuleSpec": {
        **_LAYERS_ALIKE,
        "except": "Layers the rule leaves out.",
        "params": "Names of the tensors it takes, as `weight`; left out the weights.",
        "expect": "How many layers or tensors must match: `4`, `4 tensors`, `2..5`, `>=1`; anything else is refused.",
        "when": "Conditions on the machine; where they do not hold the rule is left out.",
        "scope": "What shares one budget: each layer, the layers of the rule, or those of all rules alike.",
        "override": "Whether it takes layers from earlier rules, instead of a refusal.",
        "scheme": "What is done to the weights: a scheme, or several in order.",
    },
    "WhenSpec": {
        "has": "Features of the machine, all of them.",
        "target": "Names of targets: any of these.",
        "runtime": "Runtimes: any of these.",
        "device": "What the target computes on.",
    },
    "SchemeSpec": {
        "filter": "Filters of convolutions are removed.",
        "neuron": "Neurons of linear layers are removed.",
        "structure": "Filters and neurons are removed together.",
        "lowrank": "Matrices become products of two thin ones.",
        "prune": "Single weights become zero.",
        "block": "Blocks of weights become zero.",
        "quantize": "Weights are stored in fewer bits.",
        "codebook": "Weights share a few values.",
        "binary": "Weights have two values.",
        "ternary": "Weights have three values.",
        "sum": "Weights are the sum of what several schemes give, at least two.",
    },
    "ChannelSettings": {
        "sparsity": f"{_SPARSITY}. It counts coupled units.",
        "align": "What stays is a multiple of this many units.",
        "criterion": "How the worth of a unit is told from its weights.",
        "norm": "Whether the worth of units is scaled within their family, so that families compare.",
    },
    "PruneSettings": {
        "sparsity": f"{_SPARSITY}. It counts weights.",
        "kappa": "How many weights stay; with `norm: l1` the sum of the magnitudes that stay.",
        "alpha": f"{_ALPHA} for a weight that stays, with `form: penalty`.",
        "pattern": "`unstructured`, N:M as `2:4`, or the name of a pattern under `patterns`.",
        "criterion": "How the worth of a weight is told.",
        "norm": "What is bounded: the count of weights (l0) or the sum of their magnitudes (l1).",
        "form": "A bound that is kept, or a price that is paid.",
    },
    "BlockSettings": {
        "sparsity": f"{_SPARSITY}. It counts blocks.",
        "shape": "Weights of a block along each dimension.",
        "criterion": "How the worth of a block is told: a word, or a callable from Python.",
        "align": "What stays of each tensor is a multiple of this many blocks.",
    },
    "QuantizeSettings": {
        "dtype": "What weights are stored in.",
        "granularity": "Which weights share a scale.",
        "group": "Weights that share a scale, with `granularity: group`.",
        "symmetric": "Whether the grid lies around zero.",
        "range": "How the reach of the grid is chosen.",
        "activations": "What layers compute in; left out in floating point.",
        "observer": "How the reach of activations is chosen from calibration data; with `activations` by default mse.",
    },
    "CodebookSettings": {"size": "Values in the book.", "zero": "Whether one of them is zero."},
    "BinarySettings": {"scale": "Whether the values are -c and c; else -1 and 1."},
    "TernarySettings": {},
    "LowrankSettings": {
        "rank": "The rank of each matrix.",
        "energy": "The fraction of squared singular values that stays.",
        "select": "The cost by which ranks are chosen: multiplications, stored numbers, or measured seconds.",
        "alpha": f"{_ALPHA} for each unit of that cost.",
        "budget": "The fraction of the dense cost that may be spent.",
        "convolution": "How a convolution is seen as a matrix: by its outputs, or with its kernel split in two.",
    },
    "PythonSpec": {"python": "The object, as `file.py:NAME` or `package.module:NAME`.", "args": _ARGS},
    "CompressSpec": {
        "method": "`lc` alternates learning and compression, `direct` projects once.",
        "metric": "The norm in which projections are near; left out gram for `direct`, identity for `lc`.",
        "steps": "Rounds of the L-C loop.",
        "mu": "The penalty of the L-C loop.",
        "l_step": "One learning step.",
        "finetune": "Training at fixed structure, after compression.",
    },
    "MuSpec": {
        "start": "The penalty of the first round.",
        "growth": "Its factor from round to round.",
        "cap": "The greatest penalty.",
    },
    "LStepSpec": {
        **_TRAINING,
        "lr_end": "Learning rate at the end, above 0.",
        "iterations": "Its length in steps of the optimiser, instead of `epochs`.",
    },
    "FinetuneSpec": {
        "epochs": "Passes over the training data; 0 is none.",
        "iterations": "Its length in steps of the optimiser, instead of `epochs`.",
        "lr": "Learning rate, above 0.",
    },
    "ConstraintSpec": {"metric": "A metric of the task, or a name under `metrics`.", **_BOUND},
    "ObjectiveSpec": {
        "maximize": "What should grow: `throughput`.",
        "minimize": "What should shrink: `latency.p50` (p90, p99, mean), `macs`, `params`, `size.onnx`, `size.packed`.",
        "on": "The target it is measured on; left out the only one declared.",
    },
    "SearchSpec": {
        "method": "The strategy.",
        "least_gain": "`level-set`: over when a trial is expected to improve the objective by less than this fraction.",
        "gamma": "Weight of nearness to the level against what is not known, from 0 to 1.",
        "beta": "How many standard deviations count, from 0 to 100.",
        "kernel": "The kernel of the Gaussian process: a word, or a callable from Python.",
        "prior": "The prior of the kernel's settings.",
        "coordinates": "Scaled coordinates, or those that were published.",
        "confidence": "`probabilistic-bisection`: probability that an answer is right, between 0.5 and 1.",
        "noise": "Standard deviation that training again with another seed gives the constraint's metric, as `0.2pp`.",
        "return": "When a trial is believed to hold its bound.",
        "trials": "The most trials.",
        "parallel": "Trials at a time.",
        "early_abort": "Whether the fine-tuning of a trial ends once its fate is certain.",
        "timeout": "How long the search may take: `90s`, `15min`, `12h`.",
        "warm_start": "Run directories that tell where the bound may lie, from the recipe's folder.",
        "short": "Short runs before the search, which are never shipped.",
    },
    "ReturnSpec": {
        "probability": "The least probability that it holds, by all trials.",
        "clear_sd": "Or it is clear of the bound by this many of its own standard deviations.",
    },
    "ShortSpec": {
        "trials": "How many.",
        "share": "Their fraction of the iterations of L steps and fine-tuning.",
    },
    "GateSpec": {
        "metric": "A metric, a figure of an objective, or of the engine: `size.engine`, `memory.weights`.",
        **_BOUND,
        "on": "The target it is measured on; left out that of the objective.",
        "split": "The samples a metric is taken on; left out `test` where there are any, else `val`.",
    },
    "OutputSpec": {
        "dir": "Folder of runs, in the folder that condensa is called in.",
        "export": "Which files of the best candidate are written; `onnx` must be among them.",
        "report": "Whether a page with pictures is written.",
    },
}
