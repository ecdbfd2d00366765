"""What is known of a file whose layers compute in integers: which of them, and what that does to its outputs."""

from __future__ import annotations

from dataclasses import dataclass

from condensa_core.report.ratio import RatioInterval


@dataclass(frozen=True)
class Difference:
    """Outputs of one file against another's: the largest difference relative to the largest output, and more."""

    max_rel: float | None
    cosine: float | None = None
    top1_agreement: float | None = None  # the fraction of samples with the same largest class
    count: int | None = None  # of samples


@dataclass(frozen=True)
class IntegersResult:
    """How model.onnx computes in integers; model.float.onnx is the same in floating point.

    `floating` are layers that a rule with activations covers and that compute in floating point all the same. `timed`
    is of the session that is timed on ONNX Runtime, `unfused` of the same file without its fusions; both on calibration
    data. What is for TensorRT is judged unfused, and `timed` is the same. `speed` is how many times
    faster it is than model.float.onnx, where the objective is measured.
    """

    layers: tuple[str, ...]
    floating: tuple[str, ...] = ()
    observer: str = ""
    target: str = ""
    reduce_range: bool = False
    timed: Difference = Difference(None)
    unfused: Difference = Difference(None)
    speed: RatioInterval | None = None
