"""A recipe of the user's own Python, data in files and weights in a file: its trials take a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tiny_recipe import tiny

from condensa_core.recipe import Recipe, read_recipe_text, recipe_from, resolved_yaml

OWN = """
from pathlib import Path

import numpy as np
from torch import nn, tensor

from layers import width


def net():
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3))


def data(part):
    stored = np.load(Path(__file__).with_name(f"{part}.npz"))
    return tensor(stored["inputs"]), tensor(stored["targets"])
"""


def own_recipe(folder: Path, **changes: Any) -> Recipe:
    """The recipe, with sections replaced, and in `folder` what it names: own.py, layers.py, three .npz, weights."""
    (folder / "own.py").write_text(OWN)
    (folder / "layers.py").write_text("width = 6\n")
    random = np.random.default_rng(0)
    for part, count in (("train", 64), ("val", 32), ("test", 32)):
        targets = random.integers(0, 3, count)
        inputs = random.standard_normal((count, 4)).astype("float32") + targets[:, None].astype("float32")
        np.savez(folder / f"{part}.npz", inputs=inputs, targets=targets)
    layers = {"0": (6, 4), "2": (6, 6), "4": (3, 6)}
    drawn = torch.Generator().manual_seed(1)
    weights = {f"{name}.weight": torch.randn(shape, generator=drawn) for name, shape in layers.items()}
    weights |= {f"{name}.bias": torch.randn(shape[0], generator=drawn) for name, shape in layers.items()}
    save_file(weights, folder / "w.safetensors")
    given: dict[str, Any] = {
        "model": {"python": "own.py:net", "weights": "w.safetensors"},
        "data": {part: {"python": "own.py:data", "args": {"part": part}} for part in ("train", "val", "test")},
        "layers": [{"match": "all", "scheme": {"structure": {"sparsity": "$s"}}}],
        "search": {"trials": 1},
        "constraint": {"metric": "top1", "max_drop": "90pp"},
    }
    return read_recipe_text(resolved_yaml(recipe_from(tiny(**given | changes))), str(folder / "recipe.yaml"))
