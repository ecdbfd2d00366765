"""The ONNX files of a candidate: in floating point, and where the recipe asks for it in integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from condensa_core.export import OnnxFile, read_onnx
from condensa_core.flow.candidate import Structure, exported
from condensa_core.flow.integers import RANGE_SAMPLES, IntegerFile, in_integers
from condensa_core.flow.workbench import Workbench


@dataclass(frozen=True, eq=False)
class Carried:
    """`shipped` is what is judged, timed and shipped; `plain` computes in floating point what the module computes.

    The two are one file unless `integers` says how they differ.
    """

    plain: OnnxFile
    shipped: OnnxFile
    integers: IntegerFile | None = None


def carry(
    bench: Workbench,
    small: nn.Module,
    shipped: nn.Module,
    structure: Structure,
    path: Path,
    like: OnnxFile | None,
    *,
    backend: str,
    observers: Mapping[str, str],
    samples: int = RANGE_SAMPLES,
) -> Carried:
    """The files of the `shipped` model, at `path` and, where layers compute in integers, at `float_path(path)`.

    `small` is the model before BatchNorm was folded, `observers` are those of the plan at the candidate's knobs;
    `samples` calibrate activations for the runtime `backend`.
    """
    if not observers:
        file = exported(bench, shipped, structure, path, like)
        return Carried(file, file)
    plain = exported(bench, shipped, structure, float_path(path), like)
    made = in_integers(
        bench, small, shipped, structure, plain.path, path, backend=backend, observers=observers, samples=samples
    )
    return Carried(plain, read_onnx(path), made)


def float_path(path: Path) -> Path:
    """Where the file in floating point lies beside the one in integers: `model.float.onnx` beside `model.onnx`."""
    return path.with_name(f"{path.stem}.float{path.suffix}")
