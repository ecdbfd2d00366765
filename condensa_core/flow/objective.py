"""The objective of a candidate, always beside the reference: counted from the model, or measured on its file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from condensa_core.bench import BenchTarget, Comparison, Ratio
from condensa_core.flow.timing import time_in_turns
from condensa_core.graph import count_macs
from condensa_core.progress import Listener, silent
from condensa_core.randomness import Seed
from condensa_core.recipe import Recipe, TargetSpec, objective_target

REFERENCE = "reference"
SIZES = ("size.onnx", "size.packed")
UNITS: Mapping[str, str] = {
    "throughput": "1/s",
    "macs": "MACs",
    "params": "parameters",
    **dict.fromkeys(SIZES, "bytes"),
}


@dataclass(frozen=True)
class Gain:
    """An objective's value, and how many times better than the reference's it is (above 1 is better)."""

    value: float
    ratio: Ratio


@dataclass(frozen=True)
class Objective:
    """What the recipe maximises or minimises, on which target."""

    name: str
    direction: Literal["maximize", "minimize"]
    target_name: str
    target: BenchTarget
    seed: Seed

    @classmethod
    def of(cls, recipe: Recipe) -> Objective:
        """The recipe's objective; its target is the one it names, the only one declared, or ONNX Runtime on the CPU."""
        name = objective_target(recipe.objective, recipe.targets)
        return cls(
            recipe.objective.name,
            recipe.objective.direction,
            name,
            bench_target(recipe.targets[name] if name else TargetSpec()),
            Seed(recipe.seed).child("bench"),
        )

    @property
    def unit(self) -> str:
        return UNITS.get(self.name, "s")  # all others are latencies

    @property
    def where(self) -> str:
        """The target in words, empty for what is counted."""
        return self.timed_on if self.measured else ""

    @property
    def timed_on(self) -> str:
        """The target in words, also where the objective is counted and only ranks are timed."""
        t = self.target
        what = f"{t.backend} {t.device}, batch {t.batch}, {t.threads} thread{'s' if t.threads > 1 else ''}"
        return f"{self.target_name} ({what})" if self.target_name else what

    @property
    def measured(self) -> bool:
        """Whether a runtime must tell."""
        return self.name == "throughput" or self.name.startswith("latency")

    def time(
        self,
        files: Mapping[str, Path],
        *,
        seconds: float,
        rounds: int = 60,
        judged: Collection[str] | None = None,
        listener: Listener = silent,
    ) -> Comparison:
        """The models of these ONNX files measured as `time_in_turns` does; the first must be the reference."""
        return time_in_turns(
            files, self.target, seconds=seconds, rounds=rounds, seed=self.seed, judged=judged, listener=listener
        )

    def read(self, comparison: Comparison, name: str) -> Gain:
        """The measured objective of one file, from a comparison that holds the reference.

        The value is that of this comparison; the ratio is of the same rounds, so that the machine's noise cancels.
        """
        mine = comparison.measurement(name)
        if self.name == "throughput":
            return Gain(mine.throughput_per_s, comparison.ratio(name, REFERENCE))
        statistic = self.name.partition(".")[2]
        return Gain(getattr(mine.latency_s, statistic), comparison.latency_ratio(name, REFERENCE, statistic))

    def scaled(self, base: float, ratio: float) -> float:
        """The value that is `ratio` times better than `base`."""
        return base * ratio if self.direction == "maximize" else base / ratio

    def count(self, model: nn.Module, example: tuple[Tensor, ...], sizes: Mapping[str, int]) -> float:
        """The counted objective of a model; `sizes` has the bytes of its files, where they are asked for."""
        if self.name == "macs":
            return float(count_macs(model, example))
        if self.name == "params":
            return float(sum(p.numel() for p in model.parameters()))
        return float(sizes[self.name])

    def exact(self, value: float, reference: float) -> Gain:
        """The gain of a counted value, which has no error."""
        better = value / reference if self.direction == "maximize" else reference / value
        return Gain(value, Ratio(better, better, better))


def bench_target(spec: TargetSpec) -> BenchTarget:
    """A recipe's target as the bench room takes it."""
    return BenchTarget(backend=spec.backend, device=spec.device, batch=spec.batch, threads=spec.threads)


def timing_record(comparison: Comparison, name: str) -> dict[str, Any]:
    """The measurement of one file as JSON values, without the list of rounds."""
    record: dict[str, Any] = comparison.to_json()["measurements"][name]
    return {key: value for key, value in record.items() if key != "round_s"}
