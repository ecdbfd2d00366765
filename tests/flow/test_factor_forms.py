"""Compositions on factors the whole way: two layers in the file, each factor in its small form in the packed one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file
from tiny_recipe import tiny
from torch import Tensor

from condensa_core import flow
from condensa_core.export import OnnxModel, unpack_onnx
from condensa_core.flow.workbench import Workbench, bound, trained
from condensa_core.recipe import Recipe, recipe_from
from condensa_core.report import Outcome

LOWRANK = {"lowrank": {"rank": 6}}
FORMS: dict[str, list[dict[str, Any]]] = {
    "code book": [LOWRANK, {"codebook": {"size": 8}}],
    "integers": [LOWRANK, {"quantize": {"dtype": "int6", "granularity": "channel"}}],
    "half precision": [LOWRANK, {"quantize": {"dtype": "float16"}}],
    "integers of what neurons leave": [{"neuron": {"sparsity": 0.5}}, LOWRANK, {"quantize": {"dtype": "int6"}}],
}
BITS = {"code book": 3, "integers": 6, "half precision": 16, "integers of what neurons leave": 6}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def recipe(scheme: list[dict[str, Any]], **compress: Any) -> Recipe:
    return recipe_from(
        tiny(
            model={"builtin": "lenet300"},
            layers=[{"match": "all", "scheme": scheme, "except": {"role": "last"}}],
            knobs=None,
            objective={"minimize": "size.packed"},
            search={"method": "none"},
            constraint={"metric": "top1", "at_least": 0.05},
            compress=compress,
        )
    )


def run(declared: Recipe, out: Path, cache: Path) -> tuple[Outcome, Path]:
    outcome = flow.run(declared, out=out, cache_dir=cache)
    assert outcome.status == "ok", outcome.reasons
    (directory,) = (out / "tiny").iterdir()
    return outcome, directory / "best"


def projected(bench: Workbench) -> dict[str, Tensor]:
    """Delta(Theta) of the reference's weights: what direct compression must ship."""
    (part,) = bench.parts_at({})
    weights = {name: p.detach() for name, p in bench.model.named_parameters()}
    return part.scheme.project(part.target(weights, None)).decode()


def products(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    layers = [name.removesuffix(".left.weight") for name in weights if name.endswith(".left.weight")]
    return {
        f"{layer}.weight": weights[f"{layer}.left.weight"].double() @ weights[f"{layer}.right.weight"].double()
        for layer in layers
    }


def unpacked(best: Path, folder: Path) -> dict[str, Tensor]:
    """The float tensors that the packed file decodes to."""
    graph = onnx.load(unpack_onnx(best / "model.packed.onnx", folder / "plain.onnx").path).graph
    return {t.name: torch.from_numpy(np.array(onnx.numpy_helper.to_array(t))) for t in graph.initializer}


@pytest.mark.parametrize("form", FORMS)
def test_direct_compression_ships_delta_as_two_layers(form: str, tmp_path: Path, cache: Path) -> None:
    declared = recipe(FORMS[form], method="direct", metric="identity")

    outcome, best = run(declared, tmp_path, cache)

    delta = projected(trained(bound(declared), cache_dir=cache))
    weights = load_file(best / "weights.safetensors")
    matrices = {name: dense for name, dense in delta.items() if dense.ndim == 2}
    shipped, decoded = products(weights), unpacked(best, tmp_path)
    assert len(shipped) == 2 and set(shipped) <= matrices.keys()
    if form == "half precision":
        halves = {name for name, w in weights.items() if w.dtype == torch.float16}
        assert halves == {f"{n.removesuffix('.weight')}.{side}.weight" for n in shipped for side in ("left", "right")}
    for name, product in shipped.items():
        expected = matrices[name].double()
        rows, columns = (expected.abs().sum(dim) > 0 for dim in (1, 0))
        if form.endswith("leave"):  # removed neurons are zero rows, and zero columns once the layer before lost them
            assert product.shape[0] == int(rows.sum())
            kept = columns if product.shape[1] == expected.shape[1] else torch.from_numpy(_kept_inputs(delta, name))
            expected = expected[rows][:, kept]
        torch.testing.assert_close(product, expected, rtol=0, atol=1e-6 * float(expected.abs().max()))
        for side in ("left", "right"):
            weight = weights[name.replace(".weight", f".{side}.weight")].float()
            stored = [either for t in decoded.values() if t.ndim == 2 for either in (t.float(), t.float().T)]
            near = [float((one - weight).abs().max()) for one in stored if one.shape == weight.shape]
            assert min(near) <= 1e-6 * float(weight.abs().max())
    x = torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(
        OnnxModel(best / "model.packed.onnx")(x), OnnxModel(best / "model.onnx")(x), rtol=1e-5, atol=1e-5
    )
    factors = sum(weights[f"{n[:-7]}.{side}.weight"].numel() for n in shipped for side in ("left", "right"))
    others = sum(w.numel() for n, w in weights.items() if ".left.weight" not in n and ".right.weight" not in n)
    bits = outcome.sizes.theoretical_bits
    assert bits is not None
    beside = bits - BITS[form] * factors - 32 * others  # the book, or the scales
    scales = sum(weights[f"{n[:-7]}.{side}.weight"].shape[0] for n in shipped for side in ("left", "right"))
    assert beside == 32 * {"code book": 8, "integers": scales, "half precision": 0}.get(form, 4)


def _kept_inputs(delta: dict[str, Tensor], name: str) -> np.ndarray:
    """Inputs of the second layer whose neurons the first one kept."""
    first = next(n for n in delta if n.endswith(".weight") and n != name)
    return (delta[first].abs().sum(1) > 0).numpy()


def test_fine_tuned_factors_stay_in_one_book(tmp_path: Path, cache: Path) -> None:
    declared = recipe(FORMS["code book"], steps=2, l_step={"iterations": 20}, finetune={"epochs": 2})

    outcome, best = run(declared, tmp_path, cache)

    weights = load_file(best / "weights.safetensors")
    factors = [w.flatten() for name, w in weights.items() if ".left.weight" in name or ".right.weight" in name]
    assert len(factors) == 4 and len(torch.cat(factors).unique()) <= 8
    numbers = sum(len(w) for w in factors)
    others = sum(w.numel() for w in weights.values()) - numbers
    assert outcome.sizes.theoretical_bits == 3 * numbers + 8 * 32 + 32 * others
    assert outcome.sizes.packed is not None and outcome.sizes.packed <= outcome.sizes.theoretical_bits / 8 + 6_000
