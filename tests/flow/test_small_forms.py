"""Every form of weight the whole way: learned, cut, split, fine-tuned, folded, exported, packed, judged, concluded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from tiny_recipe import tiny

from condensa_core import flow
from condensa_core.export import OnnxModel
from condensa_core.recipe import read_recipe, recipe_from
from condensa_core.report import Outcome

MODEL = {"builtin": "small-cnn", "args": {"width": 32, "depth": 1, "stages": 2}}  # large beside what files need
DENSE = {"match": "all"}
# Name -> scheme of all layers, and the most that is left of the file's bytes and of the multiply-accumulates.
FORMS: dict[str, tuple[Any, float, float]] = {
    "pruned code book": ([{"prune": {"sparsity": 0.8}}, {"codebook": {"size": 4}}], 0.25, 1.0),
    "filters and code book": ([{"filter": {"sparsity": 0.5}}, {"codebook": {"size": 8}}], 0.3, 0.6),
    "low rank": ({"lowrank": {"select": "flops", "budget": 0.5}}, 0.75, 0.6),
    "filters, then low rank": (
        [{"filter": {"sparsity": 0.3}}, {"lowrank": {"select": "flops", "budget": 0.7}}], 0.75, 0.6
    ),
    "book and corrections": ({"sum": [{"codebook": {"size": 2}}, {"prune": {"sparsity": 0.97}}]}, 0.3, 1.0),
    "integers": ({"quantize": {"dtype": "int4", "granularity": "channel"}}, 0.35, 1.0),
    "ternary": ({"ternary": {}}, 0.3, 1.0),
    "2:4 in half precision": ([{"prune": {"pattern": "2:4"}}, {"quantize": {"dtype": "float16"}}], 0.45, 1.0),
}  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def run(rules: list[dict[str, Any]], out: Path, cache: Path, **changes: Any) -> tuple[Outcome, Path]:
    """One trial, whatever its accuracy."""
    recipe = tiny(
        model=MODEL,
        layers=rules,
        knobs=None,
        objective={"minimize": "size.packed"},
        search={"method": "none"},
        constraint={"metric": "top1", "at_least": 0.05},
        **changes,
    )
    outcome = flow.run(recipe_from(recipe), out=out, cache_dir=cache)
    (directory,) = (out / "tiny").iterdir()
    return outcome, directory


@pytest.mark.parametrize("form", FORMS)
def test_a_form_ships_as_a_small_file_that_computes_the_same(form: str, tmp_path: Path, cache: Path) -> None:
    scheme, most, left = FORMS[form]

    outcome, directory = run([{**DENSE, "scheme": scheme}], tmp_path, cache)

    assert outcome.status == "ok", outcome.reasons
    plain, packed = directory / "best" / "model.onnx", directory / "best" / "model.packed.onnx"
    assert outcome.sizes.packed == packed.stat().st_size
    assert outcome.best is not None and outcome.best.objective == outcome.sizes.packed
    assert packed.stat().st_size < most * (outcome.reference.bytes or 0)
    assert (outcome.best.macs or 0) <= left * (outcome.reference.macs or 0)
    # The file is what theory counts, and what a file needs besides: nodes, names, shapes.
    assert outcome.sizes.theoretical_bits is not None
    assert packed.stat().st_size <= 1.1 * outcome.sizes.theoretical_bits / 8 + 6_000
    assert outcome.sizes.theoretical_bits / 8 <= 1.4 * packed.stat().st_size  # the packer may beat it by entropy
    onnxruntime.InferenceSession(packed, providers=["CPUExecutionProvider"])
    x = torch.rand(5, 1, 8, 8)
    torch.testing.assert_close(OnnxModel(packed)(x), OnnxModel(plain)(x), rtol=1e-4, atol=1e-5)


def test_direct_compression_heeds_the_data_unless_told_otherwise(tmp_path: Path, cache: Path) -> None:
    rules = [{**DENSE, "scheme": {"lowrank": {"select": "flops", "budget": 0.4}}}]

    near = {
        metric: run(rules, tmp_path / metric, cache, compress={"method": "direct", "metric": metric})[0]
        for metric in ("identity", "gram")
    }
    default, _ = run(rules, tmp_path / "default", cache, compress={"method": "direct"})

    agreement = {metric: outcome.best.agreement["val"].value for metric, outcome in near.items() if outcome.best}
    assert agreement["gram"] > agreement["identity"] + 0.05
    assert default.best is not None and default.best.agreement["val"].value == agreement["gram"]


def test_patterns_of_the_user_are_loaded_checked_and_obeyed(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\ndef columns(shape):\n    return np.broadcast_to(np.arange(shape[-1]), shape)\n"
    )
    scheme = {"prune": {"pattern": "columns", "sparsity": 0.5}}
    rules = [{"match": "all", "type": "Linear", "scope": "layer", "scheme": scheme}]
    text = tiny(
        layers=rules,
        knobs=None,
        patterns={"columns": {"python": "mine.py:columns"}},
        objective={"minimize": "size.packed"},
        search={"method": "none"},
        constraint={"metric": "top1", "at_least": 0.05},
        compress={"method": "direct"},
    )

    (tmp_path / "recipe.yaml").write_text(json.dumps(text))

    outcome = flow.run(read_recipe(tmp_path / "recipe.yaml"), out=tmp_path, cache_dir=cache)

    assert outcome.status == "ok"
    (directory,) = (tmp_path / "tiny").iterdir()
    weights = load_file(directory / "best" / "weights.safetensors")
    matrices = [w for name, w in weights.items() if w.ndim == 2]
    assert matrices
    for weight in matrices:
        dead = (weight == 0).all(0)
        assert int(dead.sum()) == weight.shape[1] // 2 and bool((weight[:, ~dead] != 0).any())
