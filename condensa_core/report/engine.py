"""What is known of the engine that ships."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EngineResult:
    """The engine of best/model.onnx for `target`, in the words of `condensa engine`; memory is at the largest batch.

    `problem` says why there is none, and `skipped` that the recipe allows that. `unmeasured` says why no latency was
    measured, and is empty where something was timed on the target.
    """

    target: str
    path: str = ""  # relative to the run directory; empty where there is none
    bytes: int | None = None
    runtime: str = ""
    capabilities: tuple[str, ...] = ()
    precision: str = ""
    batches: tuple[int, ...] = ()  # smallest, best and largest; none where the file fixes them
    weights_bytes: int | None = None
    activation_bytes: int | None = None
    layers: int | None = None  # before fusion
    build_s: float | None = None
    unmeasured: str = ""
    problem: str = ""
    skipped: bool = False
