"""One layer alone on a target: dense and as two layers of a few ranks, timed in turns."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from condensa_core.bench import BenchTarget, Comparison
from condensa_core.bench.statistics import median_interval
from condensa_core.evaluation_mode import evaluating
from condensa_core.export import OnnxFile, export_onnx
from condensa_core.flow.stand_in_factors import stand_in_factors
from condensa_core.flow.timing import takes_programs, time_in_turns, write_program
from condensa_core.materialise.two_layers import two_layers
from condensa_core.progress import Listener
from condensa_core.randomness import Seed
from condensa_core.schemes.matrix_view import Convolution, Factors, view_of

SHARES: Final = (0.125, 0.25, 0.5, 0.75)  # of the largest rank that saves multiplications; rank 1 and it are timed too
SECONDS: Final = 0.5  # of timing a file
ROUNDS: Final = 60

_DENSE, _IDLE = "dense", "idle"


@dataclass(frozen=True)
class Call:
    """One call of a layer: what kind of layer, how it is a matrix, what it reads. Equal ones take equally long."""

    layer: str  # type and settings
    convolution: Convolution
    shape: tuple[int, ...]  # of the input, at the target's batch
    dtype: str


def grid(last: int) -> tuple[int, ...]:
    """The ranks that are timed, of 1 to `last`."""
    return tuple(sorted({1, *(max(1, round(last * share)) for share in SHARES), last}))


def calls_of(
    model: nn.Module, example: tuple[Tensor, ...], layers: Mapping[str, tuple[nn.Module, Convolution]], batch: int
) -> dict[str, Counter[Call]]:
    """How often each layer is called in one inference of `batch` samples, and with what, by weight."""
    found: dict[str, Counter[Call]] = {name: Counter() for name in layers}
    handles = []
    for name, (layer, convolution) in layers.items():

        def seen(
            module: nn.Module, args: Any, kwargs: Any, name: str = name, convolution: Convolution = convolution
        ) -> None:
            given = (*args, *kwargs.values())[0]
            dtype = str(given.dtype).removeprefix("torch.")
            found[name][Call(repr(module), convolution, tuple(given.shape), dtype)] += 1

        handles.append(layer.register_forward_pre_hook(seen, with_kwargs=True))
    try:
        with evaluating(model), torch.no_grad():
            model(*(x[torch.arange(batch) % len(x)] for x in example))
    finally:
        for handle in handles:
            handle.remove()
    return found


@dataclass(frozen=True, eq=False)
class LayerStand:
    """One layer alone, with what it is timed on."""

    layer: nn.Module
    call: Call
    target: BenchTarget
    seed: Seed

    def timed(self, listener: Listener) -> dict[str, Any]:
        """Seconds of the dense layer and of two layers of some ranks, in turns; what any call takes is not in them.

        That is measured in the same rounds with a file that hands on a slice of its input.
        """
        last = self.last_rank()
        with tempfile.TemporaryDirectory(prefix="condensa-ranks-") as folder:
            files = {_DENSE: self._exported(self.layer, Path(folder) / "dense.onnx", None)}
            files[_IDLE] = self._exported(_Idle(), Path(folder) / "idle.onnx", None)
            like = None
            for rank in grid(last):
                like = self._exported(self.two(rank), Path(folder) / f"{rank}.onnx", like)
                files[str(rank)] = like
            comparison = time_in_turns(
                {name: file.path for name, file in files.items()},
                self.target,
                batch=self.call.shape[0],
                judged=(),  # of layers whose weights are arbitrary
                seconds=SECONDS * len(files),
                rounds=ROUNDS,
                seed=self.seed,
                listener=listener,
            )
        return {
            "last_rank": last,
            "idle_s": asdict(median_interval(comparison.measurement(_IDLE).round_s, seed=self.seed)),
            "dense_s": self._beyond_idle(comparison, _DENSE),
            "ranks": {str(rank): self._beyond_idle(comparison, str(rank)) for rank in grid(last)},
            "rounds": len(comparison.measurement(_DENSE).round_s),
            "noisy": comparison.noisy,
        }

    def two(self, rank: int) -> nn.Module:
        """The two layers of that rank, of arbitrary weights."""
        weight: Tensor = self.layer.weight  # type: ignore[assignment]
        view = view_of(tuple(weight.shape), self.call.convolution)
        made = two_layers(self.layer, stand_in_factors(view, rank, self.seed.torch_generator("factors", rank)))
        assert isinstance(made, nn.Module), made
        return made

    def last_rank(self) -> int:
        """The largest rank of which two layers take fewer multiplications than one: no larger one is shipped."""
        weight: Tensor = self.layer.weight  # type: ignore[assignment]
        view = view_of(tuple(weight.shape), self.call.convolution)

        def saves(rank: int) -> bool:
            factors = Factors(torch.ones(view.rows, rank), torch.ones(rank, view.columns), view)
            return isinstance(two_layers(self.layer, factors), nn.Module)

        low, high = 1, min(view.rows, view.columns) + 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if saves(middle) else (low, middle)
        return low

    def _beyond_idle(self, comparison: Comparison, name: str) -> dict[str, float]:
        """The median of the seconds that a file takes longer than the idle one in the same round, with its interval."""
        own, idle = comparison.measurement(name).round_s, comparison.measurement(_IDLE).round_s
        return asdict(median_interval([a - b for a, b in zip(own, idle, strict=True)], seed=self.seed))

    def _exported(self, model: nn.Module, path: Path, like: OnnxFile | None) -> OnnxFile:
        shape = (max(2, self.call.shape[0]), *self.call.shape[1:])
        dtype = getattr(torch, self.call.dtype)
        example = torch.zeros(shape, dtype=dtype)
        if takes_programs(self.target):
            write_program(model.eval(), (example,), path)
        return export_onnx(model.eval(), (example,), path, like=like)


class _Idle(nn.Module):
    """Next to nothing: what is left is the call of the runtime."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:1]  # contiguous: of other slices the copy would take longer than the call
