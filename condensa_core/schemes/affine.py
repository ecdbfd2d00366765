"""Weights as small integers times a scale: the grid, and the code of a tensor on the grids of its blocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from condensa_core.schemes.contract import Freedom, Target, Tensors
from condensa_core.schemes.half import held
from condensa_core.schemes.scale_blocks import ScaleBlocks
from condensa_core.schemes.terms import Scaled, Term

_SCALE_BITS: Final = 32
# Scales keep this many significant bits, so that level * scale (at most 8 bits more) is exact in float32: whoever
# decodes, fused or not, gets the same numbers, and a decoded tensor is on its own grid.
_SIGNIFICANT: Final = 16
_SMALLEST, _GREATEST = 2.0**-126, 2.0**119  # of a scale: level * scale is then a normal float32


@dataclass(frozen=True)
class Grid:
    """Integers of `bits` bits. Symmetric: zero point 0, levels -(2^(bits-1) - 1) .. 2^(bits-1) - 1.

    Else 2^bits levels around a zero point that is one of them, so that 0 is exact (padding and ReLU rest on it).
    `signed` decides only which integers are stored: those of uintN are those of intN plus 2^(bits-1).
    """

    bits: int
    symmetric: bool
    signed: bool

    @property
    def top(self) -> int:
        """Levels on either side of zero if symmetric, else above the lowest."""
        return 2 ** (self.bits - 1) - 1 if self.symmetric else 2**self.bits - 1

    @property
    def offset(self) -> int:
        """What is added to a level (symmetric), or to a level counted from the lowest, to store it."""
        half = 2 ** (self.bits - 1)
        if self.symmetric:
            return 0 if self.signed else half
        return -half if self.signed else 0

    @property
    def storage(self) -> torch.dtype:
        """The integers' dtype in memory."""
        return torch.int8 if self.signed else torch.uint8


@dataclass(frozen=True, eq=False)
class Steps:
    """The grids of some blocks (float64, one number a block): the points scale * q, -low <= q <= high, q integer."""

    scale: Tensor
    low: Tensor
    high: Tensor

    def round(self, blocks: Tensor) -> Tensor:
        """The nearest level q of each weight (blocks x length, float64)."""
        return nearest_level(blocks, self.scale[:, None], self.low[:, None], self.high[:, None])

    def stored(self) -> Steps:
        """With scales that a file holds: 16 significant bits, within float32."""
        return Steps(coarse(self.scale), self.low, self.high)


def nearest_level(w: Tensor, scale: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The integer q in -low .. high with scale * q nearest to w, float64; halfway away from zero.

    So both ends of a range that lie halfway between levels use the outermost ones, and are found again.
    """
    steps = w / scale
    return torch.minimum(torch.maximum(torch.copysign((steps.abs() + 0.5).floor(), steps), -low), high)


def coarse(scale: Tensor, *, down: bool = False) -> Tensor:
    """The nearest number with 16 significant bits (`down`: not above it) within the range of float32 scales."""
    mantissa, exponent = torch.frexp(scale)
    digits = mantissa * 2.0**_SIGNIFICANT
    digits = digits.floor() if down else digits.round()
    return torch.ldexp(digits, exponent - _SIGNIFICANT).clamp(_SMALLEST, _GREATEST)


def steps_between(low: Tensor, high: Tensor, grid: Grid) -> Steps:
    """The finest grids that reach from `low` to `high` (one number a block; 0 is included if it is not within).

    Both ends of the grid are used: the scale is rounded down, by 2^-16 of itself at most.
    """
    low, high = low.clamp(max=0), high.clamp(min=0)
    if grid.symmetric:
        reach = torch.maximum(-low, high)
        top = torch.full_like(reach, grid.top)
        return Steps(_scale_of(reach / grid.top), top, top)
    scale = _scale_of((high - low) / grid.top)
    below = (-low / scale + 0.5).floor().clamp(0, grid.top)
    return Steps(scale, below, grid.top - below)


def _scale_of(step: Tensor) -> Tensor:
    return torch.where(step > 0, coarse(step, down=True), 1.0)


@dataclass(frozen=True, eq=False)
class AffineCode:
    """Each tensor as integers on the grids of its blocks: (levels - zero) * scale.

    `levels` have the shape of their tensor; `scales` (float32) and `zeros` (none where symmetric) one entry a block.
    """

    grid: Grid
    blocks: dict[str, ScaleBlocks]
    levels: dict[str, Tensor]
    scales: dict[str, Tensor]
    zeros: dict[str, Tensor]
    dtypes: dict[str, torch.dtype]
    alive: dict[str, Tensor] = field(default_factory=dict)

    def decode(self) -> dict[str, Tensor]:
        """Level times scale, exact in float32 and wider."""
        dense = {}
        for name in self.levels:
            scale = self._scale(name)
            dense[name] = (self._centred(name).to(scale.dtype) * scale).to(self.dtypes[name])
        return dense

    def _scale(self, name: str) -> Tensor:
        """That of each weight, broadcasting; 1 where no block is."""
        scales = self.scales[name].to(torch.promote_types(self.dtypes[name], torch.float32))
        return self.blocks[name].spread(scales, 1)

    def _zero(self, name: str) -> Tensor:
        """The zero point of each weight (int16), as `_scale`."""
        return self.blocks[name].spread(self.zeros[name].to(torch.int16), self.grid.offset)

    def _centred(self, name: str) -> Tensor:
        """Levels counted from zero (int16)."""
        levels = self.levels[name].to(torch.int16)
        if self.grid.symmetric:
            return levels - self.grid.offset
        return levels - self._zero(name)

    def bits(self) -> int:
        """`bits` a living weight, 32 a scale of any and, where the grid is not symmetric, `bits` its zero point."""
        each = _SCALE_BITS + (0 if self.grid.symmetric else self.grid.bits)
        total = 0
        for name, levels in self.levels.items():
            alive = self.alive.get(name)
            weights = levels.numel() if alive is None else int(alive.sum())
            scales = self.blocks[name].count if alive is None else self.blocks[name].holding(alive)
            total += weights * self.grid.bits + scales * each
        return total

    def structure_bits(self) -> int:
        """All of `bits()`: no free number is left."""
        return self.bits()

    def arrays(self) -> dict[str, Tensor]:
        """`NAME.levels`, `NAME.scale` and, where the grid is not symmetric, `NAME.zero`."""
        stored: dict[str, Tensor] = {}
        for name, levels in self.levels.items():
            stored[f"{name}.levels"] = levels
            stored[f"{name}.scale"] = self.scales[name]
            if name in self.zeros:
                stored[f"{name}.zero"] = self.zeros[name]
        return stored

    def same_structure(self, other: object) -> bool:
        """Whether all integers are the same."""
        return isinstance(other, AffineCode) and all(
            torch.equal(levels, other.levels[name])
            and (name not in self.zeros or torch.equal(self.zeros[name], other.zeros[name]))
            for name, levels in self.levels.items()
        )

    def values(self) -> Target:
        """Nothing is left to compress."""
        return Target({})

    def rebuild(self, values: Tensors) -> dict[str, Tensor]:
        """`decode()`: there are no free numbers."""
        return self.decode()

    def freedom(self) -> Freedom:
        """Every weight is held on its grid."""
        return Freedom(held(self.levels))

    def terms(self) -> dict[str, tuple[Term, ...]]:
        """Integers times scales; where zero points differ from 0, less zero point times scale (both exact)."""
        pieces: dict[str, tuple[Term, ...]] = {}
        for name, levels in self.levels.items():
            scale = self._scale(name)
            if self.grid.symmetric:
                pieces[name] = (Scaled(self._centred(name).to(torch.int8), scale),)
            else:
                pieces[name] = (Scaled(levels, scale, -self._zero(name).to(scale.dtype) * scale),)
        return pieces
