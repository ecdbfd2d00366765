"""Random small networks, built from the ways in which channels meet: the ground on which removals are tried.

A network is a program: a few steps, each a kind of block and one number. The number is read digit by digit, whenever
the block has a choice (its operands among the values so far, its widths, whether a size is written out), so that a
program is plain data: it can be drawn, shrunk, printed and built again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from random_blocks import BLOCKS, MOST_CHANNELS, Choices, Condition, Shape, ToVector, channels_of
from torch import Tensor, nn

BATCH: Final = 2
VOCABULARY: Final = 7
MOST_STEPS: Final = 12
AGAIN: Final = "Again"  # runs a block of before on another value of the same shape
INPUTS: Final = ("image", "image", "image", "sequence", "tokens")  # half of all blocks want images


@dataclass(frozen=True)
class Program:
    """What a network is built from: the kind of its input (see `INPUTS`), its steps, and the seed of its weights."""

    source: str
    steps: tuple[tuple[str, int], ...]
    seed: int


class RandomNetwork(nn.Module):
    """The network that a program spells; steps without fitting operands are left out.

    In float64, in evaluation mode, with weights and statistics of norms drawn away from 0 and 1, so that a forgotten
    shift or a wrong position shows in the output. `reads` says which values each block read.
    """

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        self.stem = _stem(program.source)
        self.blocks = nn.ModuleList()
        self.reads: list[tuple[int, tuple[int, ...]]] = []  # number of the block, numbers of its operands
        with torch.no_grad():
            self.double().eval()
            values = [self.stem(self.example_inputs()[0])]
            made: list[tuple[Shape, ...]] = []
            for name, number in program.steps:
                self._add(name, Choices(number), values, made)
            used = {operand for _, operands in self.reads for operand in operands}
            self.last = [i for i in range(len(values)) if i not in used]
            choices = Choices(program.seed)
            self.ends = nn.ModuleList(self._end(choices, tuple(values[i].shape)) for i in self.last)
            self.several = len(self.last) > 1 and choices.of(False, True)
        self.double().eval()
        _randomise(self, torch.Generator().manual_seed(program.seed))

    def _add(self, name: str, choices: Choices, values: list[Tensor], made: list[tuple[Shape, ...]]) -> None:
        shapes = [tuple(value.shape) for value in values]
        latest = range(len(values))[::-1]
        if name == AGAIN:
            again = [
                (block, i)
                for block, operands in enumerate(made)
                for i in latest
                if operands == (shapes[i],) and (block, (i,)) not in self.reads
            ]
            if not again:
                return
            number, operand = choices.of(*again)
            operands: tuple[int, ...] = (operand,)
        else:
            kind = BLOCKS[name]
            firsts = [i for i in latest if len(shapes[i]) in kind.ranks and kind.fits(shapes[i])][:5]
            if not firsts:
                return
            operands = (choices.of(*firsts),)
            if kind.operands == 2:
                first = shapes[operands[0]]
                partners = [
                    i
                    for i in latest
                    if kind.fits(first, shapes[i]) and (kind is Condition or len(shapes[i]) == len(first))
                ]
                if not partners:
                    return
                operands = (*operands, choices.of(*partners))
            number = len(self.blocks)
            self.blocks.append(kind(choices, *(shapes[i] for i in operands)).double().eval())
            _randomise(self.blocks[number], torch.Generator().manual_seed(0))  # nothing uninitialised runs
            made.append(tuple(shapes[i] for i in operands))
        out = self.blocks[number](*(values[i] for i in operands))
        parts = out if isinstance(out, tuple) else (out,)
        if any(part.numel() > BATCH * 64 * MOST_CHANNELS for part in parts):
            return  # the block stays, unread, as forgotten layers do
        self.reads.append((number, operands))
        values.extend(parts)

    def _end(self, choices: Choices, shape: Shape) -> nn.Module:
        if isinstance(self.stem, nn.Embedding) and len(shape) == 3 and shape[2] == 6 and choices.of(True, False):
            return _TiedEnd(self.stem)
        return _End(choices, shape)

    def example_inputs(self) -> tuple[Tensor, ...]:
        """What the network runs on, the same each time."""
        generator = torch.Generator().manual_seed(self.program.seed)
        if self.program.source == "tokens":
            numbers = torch.randperm(BATCH * 4, generator=generator) % VOCABULARY  # each at least once
            return (numbers.view(BATCH, 4),)
        shape = (BATCH, 3, 4, 4) if self.program.source == "image" else (BATCH, 4, 3)
        return (torch.randn(shape, generator=generator, dtype=torch.float64),)

    def forward(self, x: Tensor) -> Any:
        values = [self.stem(x)]
        for number, operands in self.reads:
            out = self.blocks[number](*(values[i] for i in operands))
            values.extend(out if isinstance(out, tuple) else (out,))
        ends = [end(values[i]) for end, i in zip(self.ends, self.last, strict=True)]
        return tuple(ends) if self.several else sum(ends[1:], ends[0])


class _TiedEnd(nn.Module):
    """Three of the words that the embedding would read next."""

    def __init__(self, words: nn.Embedding) -> None:
        super().__init__()
        self.linear = nn.Linear(6, VOCABULARY, bias=False)
        self.linear.weight = words.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)[:, -1, :3]


class _End(nn.Module):
    def __init__(self, choices: Choices, shape: Shape) -> None:
        super().__init__()
        self.read = ToVector(choices, shape) if len(shape) > 2 and choices.of(True, True, False) else nn.Flatten()
        width = channels_of(shape) if isinstance(self.read, ToVector) else int(np.prod(shape[1:]))
        self.linear = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.read(x))


def _stem(source: str) -> nn.Module:
    if source == "tokens":
        return nn.Embedding(VOCABULARY, 6)
    return nn.Conv2d(3, 6, 3, padding=1) if source == "image" else nn.Linear(3, 6)


def _randomise(model: nn.Module, generator: torch.Generator) -> None:
    """Weights of variance 1/fan-in; vectors (biases, scales, statistics) between 0.3 and 1.2 with either sign."""
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point():
            continue
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif tensor.ndim > 1:
            tensor.normal_(0, (tensor.numel() / tensor.shape[0]) ** -0.5, generator=generator)
        else:
            tensor.uniform_(0.3, 1.2, generator=generator)
            tensor.mul_(torch.randint(0, 2, tensor.shape, generator=generator) * 2 - 1)


def random_program(generator: np.random.Generator) -> Program:
    """A program of 1 to `MOST_STEPS` steps."""
    names = [*BLOCKS, AGAIN]
    return Program(
        source=str(generator.choice(INPUTS)),
        steps=tuple(
            (str(generator.choice(names)), int(generator.integers(2**40)))
            for _ in range(generator.integers(1, MOST_STEPS + 1))
        ),
        seed=int(generator.integers(2**16)),
    )
