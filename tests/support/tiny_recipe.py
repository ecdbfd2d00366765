"""A recipe small enough to be run many times: a narrow CNN on 600 digits, MACs as the objective."""

from __future__ import annotations

import copy
from typing import Any

TINY: dict[str, Any] = {
    "condensa": 1,
    "name": "tiny",
    "seed": 3,
    "model": {"builtin": "small-cnn", "args": {"width": 8, "depth": 1, "stages": 2}},
    "data": {"builtin": "digits", "batch": 32},
    "reference": {"train": {"epochs": 4}},
    "layers": [{"match": "all", "scheme": {"filter": {"sparsity": "$s"}}}],
    "knobs": {"s": {"range": [0.0, 0.9]}},
    "compress": {"steps": 3, "l_step": {"iterations": 20}, "finetune": {"epochs": 1}},
    "constraint": {"metric": "top1", "max_drop": "10pp"},
    "objective": {"minimize": "macs"},
    "search": {"trials": 4},
    "output": {"export": ["onnx"]},
}


def tiny(**changes: Any) -> dict[str, Any]:
    """TINY with whole sections replaced; None removes one."""
    recipe = copy.deepcopy(TINY) | changes
    return {key: value for key, value in recipe.items() if value is not None}
