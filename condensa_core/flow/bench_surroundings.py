"""What stands beside the times of a comparison: memory, energy, layers and what to be wary of. Taken after timing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from condensa_core.bench import BenchTarget, Feeds, open_runner
from condensa_core.bench.energy import joules_per_inference, meter_for
from condensa_core.bench.layers import layer_times
from condensa_core.bench.resident import resident_memory
from condensa_core.bench.stretch import busy


def memory_of(files: Mapping[str, Path], target: BenchTarget, feeds: Mapping[str, Feeds]) -> dict[str, Any]:
    """Resident bytes of each file in a process of its own, None where that is not to be had."""
    found = {name: resident_memory(path, target, feeds[name]) for name, path in files.items()}
    return {name: None if taken is None else asdict(taken) for name, taken in found.items()}


def energy_of(files: Mapping[str, Path], target: BenchTarget, feeds: Mapping[str, Feeds]) -> dict[str, Any] | None:
    """Joules of an inference of each file, a second of them in a row; None where no counter can be read."""
    meter = meter_for(target.device)
    if meter is None:
        return None
    joules = {}
    for name, path in files.items():
        with open_runner(target, path, feeds[name]) as runner:
            run, inferences = busy(runner, target)
            joules[name] = joules_per_inference(run, meter) / inferences
    return {"meter": meter.name, "joules": joules}


def layers_in(
    files: Mapping[str, Path], target: BenchTarget, feeds: Mapping[str, Feeds]
) -> list[dict[str, Any]] | None:
    """The layers of the files side by side, on the CPU; None where the runtime tells nothing of layers."""
    if target.backend != "onnxruntime":
        return None
    assert target.device == "cpu"  # another is refused with the options
    return [layer.to_json() for layer in layer_times(files, replace(target, streams=1), feeds)]
