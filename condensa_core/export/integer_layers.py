"""Which layers of a float ONNX file hold weights whose integers are already chosen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from condensa_core.export.integer_weights import known_integers
from condensa_core.export.onnx_file import load_onnx
from condensa_core.export.packing.constants import densify
from condensa_core.export.quantize_plan import IntegerTarget, plan_layers
from condensa_core.schemes.terms import Term


def layers_holding(
    source: str | Path, terms: Mapping[str, tuple[Term, ...]], target: IntegerTarget = "onnxruntime"
) -> dict[str, str]:
    """Node -> parameter: the layers that `target` can compute in integers, and whose weights `terms` give in integers.

    A layer holds a parameter by its name, else by its values, as `quantize_onnx` looks for them.
    """
    from onnx import numpy_helper

    _, model = load_onnx(Path(source))
    densify(model)
    weights = {t.name: t for t in model.graph.initializer}
    found = {}
    for layer in plan_layers(model, target).layers:
        if layer.weight is None:
            continue
        values: np.ndarray = numpy_helper.to_array(weights[layer.weight])
        known = known_integers(layer.weight, values, layer.axis, terms)
        if known is not None:
            found[model.graph.node[layer.place].name] = known.parameter
    return found
