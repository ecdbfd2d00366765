"""What a runtime gains: the cut model as ONNX, in parity with torch, timed against the whole model."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from architecture import Architecture
from measures import macs, parameters
from ours import HALF, LEVELS, strongest
from torch import nn

from condensa_core.bench import BenchTarget, compare
from condensa_core.errors import CondensaError, WorkloadError
from condensa_core.export.onnx_export import export_onnx
from condensa_core.export.parity import measure_parity
from condensa_core.graph import ModelGraph, analyse
from condensa_core.materialise.program import cut_program

SECONDS = 4.0
ROUNDS = 40
PARITY = 1e-4


def measure(architecture: Architecture) -> dict[str, Any]:
    """Half of every family gone: MACs, bytes and processor time of one inference before and after, in ONNX Runtime.

    `verdict` is EXACT where both files agree with their models to `PARITY`, else DIFFERS; REFUSED where there is
    nothing to cut, EXPORT (of the cut model) or EXPORT-WHOLE where torch.onnx cannot write the file.
    """
    model, inputs = architecture.prepared()
    try:
        graph = analyse(model, inputs)
    except WorkloadError as error:
        return {"verdict": "REFUSED", "error": str(error)[:300]}
    small = cut_program(model, graph, strongest(model, graph, LEVELS[HALF]))
    record: dict[str, Any] = {
        "structure": _structure(model, graph),
        "macs": [macs(model, inputs), macs(small, inputs)],
        "parameters": [parameters(model), parameters(small)],
    }
    with tempfile.TemporaryDirectory() as folder:
        files = {"whole": Path(folder, "whole.onnx"), "cut": Path(folder, "cut.onnx")}
        for name, module in (("cut", small), ("whole", model)):
            found = _exported(module, inputs, files[name])
            record[name] = found
            if "error" in found:
                return {**record, "verdict": "EXPORT" if name == "cut" else "EXPORT-WHOLE", "error": found["error"]}
        batch = inputs[0].shape[0] if record["cut"]["fixed_batch"] or record["whole"]["fixed_batch"] else 1
        comparison = compare(files, BenchTarget(batch=batch), seconds=SECONDS, rounds=ROUNDS)
    ratio = comparison.ratio("cut", "whole")
    agree = record["cut"]["parity"] <= PARITY and record["whole"]["parity"] <= PARITY
    return {
        **record,
        "verdict": "EXACT" if agree else "DIFFERS",
        "batch": batch,
        "milliseconds": [1000 * comparison.measurement(name).latency_s.p50 for name in files],
        "speed_up": [ratio.value, ratio.low, ratio.high],
        "rounds": comparison.measurement("cut").rounds,
        "noise": comparison.measurement("cut").noise,
    }


def measure_families(architecture: Architecture) -> dict[str, Any]:
    """As `measure`, with half of one family gone at a time: what each is worth alone, by its MACs and on the clock."""
    model, inputs = architecture.prepared()
    graph = analyse(model, inputs)
    halved = strongest(model, graph, LEVELS[HALF])
    before = macs(model, inputs)
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = {"whole": Path(folder, "whole.onnx")}
        _exported(model, inputs, files["whole"])
        for number, family in enumerate(graph.families):
            small = cut_program(model, graph, {family.name: halved[family.name]})
            files[family.name] = Path(folder, f"{number}.onnx")
            parity = _exported(small, inputs, files[family.name])["parity"]
            found[family.name] = {"units": family.size, "unit": family.unit, "parity": parity}
            found[family.name]["macs_ratio"] = before / max(macs(small, inputs), 1)
        comparison = compare(files, BenchTarget(batch=1), seconds=SECONDS * len(files), rounds=ROUNDS)
    for name, record in found.items():
        ratio = comparison.ratio(name, "whole")
        record["speed_up"] = [ratio.value, ratio.low, ratio.high]
    agree = all(record["parity"] <= PARITY for record in found.values())
    return {"verdict": "EXACT" if agree else "DIFFERS", "families": found}


def _structure(model: nn.Module, graph: ModelGraph) -> str:
    if any(isinstance(module, nn.RNNBase) for module in model.modules()):
        return "recurrent"
    if any("attention" in operator or "softmax" in operator for operator in graph.operators):
        return "attention"
    return "convolution" if any("conv" in operator for operator in graph.operators) else "linear"


def _exported(model: nn.Module, inputs: tuple[Any, ...], path: Path) -> dict[str, Any]:
    try:
        file = export_onnx(model, inputs, path)
        parity = measure_parity(path, model, [inputs], PARITY)
    except CondensaError as error:
        return {"error": str(error)[:300]}
    except Exception as error:  # onnxruntime's own
        return {"error": f"{type(error).__name__}: {error}"[:300]}
    fixed = any(isinstance(signature.shape[0], int) for signature in file.inputs)
    return {"bytes": path.stat().st_size, "parity": parity.max_rel, "fixed_batch": fixed}
