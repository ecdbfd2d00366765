"""The candidate's file whose layers compute in integers: which layers, calibrated on what, how near the float file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, cast

from torch import Tensor, nn

from condensa_core.errors import ExportFailed, ParityError
from condensa_core.export import IntegerTarget, QuantizedFile, layers_holding, quantize_onnx
from condensa_core.export.calibration_ranges import RangeRule
from condensa_core.flow.candidate import Structure
from condensa_core.flow.packed import terms_of
from condensa_core.flow.workbench import Workbench
from condensa_core.workload import Splits

# Samples of `calib`, or without it of `train`, on which the reach of activations is measured.
RANGE_SAMPLES: Final = 512


@dataclass(frozen=True, eq=False)
class IntegerFile:
    """The quantized file, and the layers of the rules with `activations` that compute in integers there or do not."""

    file: QuantizedFile
    observer: RangeRule
    layers: tuple[str, ...]
    floating: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """As JSON values. `parity` is that of the session that is timed, `plain` without the runtime's fusions."""
        return {
            "layers": list(self.layers),
            "floating": list(self.floating),
            "observer": self.observer,
            "samples": self.file.parity.count,
            "target": self.file.target,
            "reduce_range": self.file.reduce_range,
            "parity": asdict(self.file.parity),
            "plain": asdict(self.file.plain),
        }


def in_integers(
    bench: Workbench,
    small: nn.Module,
    shipped: nn.Module,
    structure: Structure,
    source: Path,
    path: Path,
    *,
    backend: str,
    observers: Mapping[str, str],
    samples: int = RANGE_SAMPLES,
) -> IntegerFile:
    """`source`, the float file of `shipped`, at `path` with what `observers` name computing in integers.

    The weights' integers are those of the codes; whatever is not made of them computes in floating point. `small` is
    the model before BatchNorm was folded. ExportFailed where no layer is left to compute in integers.
    """
    observer = cast(RangeRule, next(iter(observers.values())))  # the recipe has one, and knows these words
    factors = {half for name, pair in structure.pairs.items() if name in observers for half in pair.names.values()}
    covered = observers.keys() | factors
    terms = {n: pieces for n, pieces in terms_of(bench, small, shipped, structure).items() if n in covered}
    target = integer_form(backend)
    held = layers_holding(source, terms, target)
    if not held:
        raise ExportFailed(
            "no layer of the rules with activations: int8 can compute in integers",
            hint="leave 'activations' out, or let the rules match convolutions and linear layers",
        )
    shown = calibration_inputs(bench.splits, samples)
    file = quantize_onnx(source, path, shown, activations=observer, target=target, only=held.keys(), terms=terms)
    rounded = {held[node] for node in file.layers}
    wanted = [n for n, p in shipped.named_parameters() if n in covered and p.ndim > 1]
    return IntegerFile(
        file,
        observer,
        tuple(dict.fromkeys(_layer(name) for name in wanted if name in rounded)),
        tuple(dict.fromkeys(_layer(name) for name in wanted if name not in rounded)),
    )


def integer_form(backend: str) -> IntegerTarget:
    """Which quantize nodes a target's runtime wants."""
    return "tensorrt" if "tensorrt" in backend else "onnxruntime"


def calibration_inputs(splits: Splits, samples: int) -> Iterator[Tensor]:
    """The first `samples` inputs of `calib`; without it of one shuffled pass over `train`, always the same."""
    left = samples
    for inputs, _ in splits.train.epoch(0) if splits.calib is None else splits.calib:
        yield inputs[:left]
        left -= len(inputs)
        if left <= 0:
            return


def require_sound(file: QuantizedFile) -> None:
    """ParityError where the integer kernels of this machine compute something else than the file says."""
    if file.saturates:
        raise ParityError(
            f"{file.path.name}: integer kernels saturate on this CPU: outputs differ from the float file by "
            f"{file.parity.max_rel:.1%} of the largest, {file.plain.max_rel:.1%} without the runtime's fusions",
            hint="write dtype: int7: sums of products of 7 bits fit",
        )


def _layer(parameter: str) -> str:
    return parameter.rpartition(".")[0]
