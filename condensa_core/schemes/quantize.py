"""`quantize`: weights in fewer bits, as half-precision numbers or as small integers times a scale."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, get_args

import torch
from torch import Tensor

from condensa_core.errors import SchemeError
from condensa_core.schemes.affine import AffineCode, Grid, Steps
from condensa_core.schemes.contract import Facts, Target
from condensa_core.schemes.error_feedback import round_with_feedback
from condensa_core.schemes.half import FLOATS, HalfCode, project_half
from condensa_core.schemes.metric import Metric
from condensa_core.schemes.ranges import Range, steps_for
from condensa_core.schemes.scale_blocks import Granularity, ScaleBlocks, Sharing
from condensa_core.schemes.scale_search import EXACT_BITS

__all__ = ["AffineCode", "HalfCode", "Quantize"]

_INTEGERS = {f"{sign}int{bits}": bits for bits in range(2, 9) for sign in ("", "u")}


@dataclass(frozen=True)
class Quantize:
    """The nearest weights on a grid: argmin ||w - theta||_M^2.

    `dtype` float16 or bfloat16: round to nearest, ties to even, saturating. intN or uintN (N = 2..8): an integer times
    a scale, one scale for the tensor, each index of dim 0 (channel), or each `group` consecutive inputs of a row;
    `symmetric` grids have 2^N - 1 levels around 0, others 2^N with a zero point. `range` chooses the grid: it reaches
    the largest weight (max), or `percentile` % of the weights, or its squared error is least (mse: a global minimiser
    of grid and rounding up to 4 bits). Given the grid, rounding is exact; a diagonal metric counts in the search for
    the grid, a Gram metric in the rounding, column by column with error feedback (a descent, not exact, and not
    idempotent with a range other than mse). NaN and infinite weights are refused by grids (SchemeError).
    Source: IEEE 754-2008; Jacob et al., arXiv:1712.05877 (affine grids); Frantar et al., GPTQ, arXiv:2210.17323.
    """

    dtype: str = "float16"
    granularity: Granularity = "tensor"
    group: int | None = None
    symmetric: bool = True
    range: Range = "max"
    percentile: float = 99.99

    name: ClassVar[str] = "quantize"
    facts: ClassVar[Facts] = Facts(
        summary="weights are stored in few bits: half precision, or small integers times a scale",
        source="IEEE 754-2008; Jacob et al., arXiv:1712.05877; GPTQ, arXiv:2210.17323",
        structure="value",
        exact=True,
        shrinks_file="16 or N bits for each weight it covers, plus 32 for each scale, in the packed file",
        speeds_up="none by itself on CPUs, where ONNX Runtime widens to float32 at load; with `activations: int8` wide "
        "layers are faster in integers, narrow ones slower (docs/integers.md)",
        metrics=frozenset(("diagonal", "gram")),
    )

    def __post_init__(self) -> None:
        if self.dtype not in FLOATS and self.dtype not in _INTEGERS:
            raise SchemeError(
                f"quantize: dtype {self.dtype!r} is not known",
                hint="known: float16, bfloat16, int2 to int8, uint2 to uint8",
            )
        for what, value, known in (
            ("granularity", self.granularity, get_args(Granularity)),
            ("range", self.range, get_args(Range)),
        ):
            if value not in known:
                raise SchemeError(f"quantize: {what} {value!r} is not known", hint="known: " + ", ".join(known))
        if (self.granularity == "group") != (self.group is not None):
            raise SchemeError(
                f"quantize: granularity {self.granularity!r} with group {self.group}",
                hint="a number of inputs belongs to granularity: group, as in {granularity: group, group: 32}",
            )
        if self.group is not None and self.group < 1:
            raise SchemeError(f"quantize: group must be at least 1, got {self.group}")
        if not 0 < self.percentile <= 100:
            raise SchemeError(f"quantize: percentile {self.percentile:g} is outside (0, 100]")
        if self.dtype in FLOATS and (self.granularity, self.symmetric, self.range) != ("tensor", True, "max"):
            raise SchemeError(f"quantize: {self.dtype} has no scale to choose", hint="leave the other settings out")
        if self.range == "mse" and self.value_bits > EXACT_BITS:
            object.__setattr__(self, "facts", replace(self.facts, exact=False))

    @property
    def value_bits(self) -> int:
        """Bits of a stored weight."""
        return _INTEGERS.get(self.dtype, 16)

    def project(self, target: Target) -> HalfCode | AffineCode:
        """Each tensor by itself: on its nearest half-precision numbers, or on the grids of its blocks."""
        if self.dtype in FLOATS:
            return project_half(target, FLOATS[self.dtype])
        grid = Grid(_INTEGERS[self.dtype], self.symmetric, signed=not self.dtype.startswith("u"))
        code = AffineCode(grid, {}, {}, {}, {}, {}, dict(target.alive))
        for name, tensor in target.tensors.items():
            self._quantize(code, name, tensor.detach(), target.alive.get(name), target.metrics.get(name))
        return code

    def _quantize(
        self, code: AffineCode, name: str, tensor: Tensor, alive: Tensor | None, metric: Metric | None
    ) -> None:
        """Put `tensor` into `code`."""
        if not bool(tensor.isfinite().all()):
            raise SchemeError(f"quantize: {name} holds NaN or infinity: no grid reaches them")
        grid = code.grid
        layout = Sharing(self.granularity, self.group).blocks(tensor.shape, alive, tensor.device)
        blocks = layout.split(tensor)
        living = layout.split(torch.ones_like(tensor) if alive is None else alive) > 0
        weights = living.double() if metric is None else layout.split(_weights(metric, tensor))
        steps = steps_for(blocks, weights, living, grid, self.range, self.percentile)
        levels = (
            layout.join(steps.round(blocks) * living)
            if metric is None or metric.gram is None or tensor.dim() < 2
            else _fed_back(layout, tensor, steps, living, metric.gram)
        )
        lowest = torch.zeros_like(steps.low) if grid.symmetric else steps.low
        stored = levels + layout.spread(lowest, 0) + grid.offset
        code.blocks[name] = layout
        code.levels[name] = stored.to(torch.int16).to(grid.storage)
        code.scales[name] = steps.scale.float()
        code.dtypes[name] = tensor.dtype
        if not grid.symmetric:
            code.zeros[name] = (lowest + grid.offset).to(torch.int16).to(grid.storage)


def _weights(metric: Metric, tensor: Tensor) -> Tensor:
    return metric.weights.to(tensor.device, torch.float64).expand(tensor.shape)


def _fed_back(layout: ScaleBlocks, tensor: Tensor, steps: Steps, living: Tensor, gram: Tensor) -> Tensor:
    rows = tensor.double().flatten(1)

    def matrix(blocks: Tensor) -> Tensor:
        return layout.join(blocks).flatten(1)

    def each(per_block: Tensor) -> Tensor:
        return layout.spread(per_block, 1).expand(tensor.shape).flatten(1)

    levels = round_with_feedback(
        rows, each(steps.scale), each(steps.low), each(steps.high), matrix(living), gram.to(rows.device, rows.dtype)
    )
    return levels.view(tensor.shape)
