"""Random small networks, built from the ways in which channels meet: no removal may change what the rest computes."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from condensa_core.graph import analyse
from condensa_core.materialise import check_equivalence, masked, shrink

STEPS = ["conv", "norm", "depthwise", "grouped", "add", "gate", "cat", "chunk", "sigmoid", "relu", "pool", "tied"]


class RandomNetwork(nn.Module):
    """A program over a growing list of 4 x 4 maps; operands are picked by the drawn numbers among those that fit."""

    def __init__(self, program, flatten):
        super().__init__()
        self.program, self.flatten = [], flatten
        self.layers = nn.ModuleDict()
        widths = [4]
        self.layers["stem"] = nn.Conv2d(2, 4, 3, padding=1)
        for number, (step, pick, width) in enumerate(program):
            source = pick % len(widths)
            channels = widths[source]
            fits = [i for i, other in enumerate(widths) if other == channels]
            other = fits[width % len(fits)]
            name, made = f"{step}{number}", channels
            if step == "conv":
                made = 2 * width
                self.layers[name] = nn.Conv2d(channels, made, 3, padding=1)
            elif step == "norm":
                self.layers[name] = nn.BatchNorm2d(channels)
            elif step == "depthwise":
                self.layers[name] = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
            elif step == "grouped":
                self.layers[name] = nn.Conv2d(channels, 4 * width, 1, groups=2)
                made = 4 * width
            elif step == "cat":
                made = channels + widths[other]
            elif step == "tied":
                self.layers[name] = self.layers["stem"]
                made = 4
            elif step == "chunk":
                if channels % 4:
                    continue
                made = channels // 2
                widths.append(made)
            self.program.append((step, name, source, other))
            widths.append(made)
        size = 16 if flatten else 1
        self.heads = nn.ModuleList(nn.Linear(width * size, 3) for width in widths[-2:])

    def forward(self, x):
        values = [self.layers["stem"](x)]
        for step, name, source, other in self.program:
            a, b = values[source], values[other]
            if step == "tied":
                values.append(self.layers[name](x.flip(2)))
            elif name in self.layers:
                values.append(self.layers[name](a))
            elif step == "add":
                values.append(a + b)
            elif step == "gate":
                values.append(a * torch.sigmoid(b.mean((2, 3), keepdim=True)))
            elif step == "cat":
                values.append(torch.cat([a, b], 1))
            elif step == "chunk":
                values.extend(a.chunk(2, 1))
            elif step == "pool":
                values.append(nn.functional.avg_pool2d(a, 3, 1, 1))
            else:
                values.append(getattr(torch, step)(a))
        last = values[-len(self.heads) :]
        read = [value.flatten(1) if self.flatten else value.amax((2, 3)) for value in last]
        return sum(head(value) for head, value in zip(self.heads, read, strict=True))


programs = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 30), st.integers(1, 3)), min_size=1, max_size=9)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(programs, st.booleans(), st.integers(0, 2**16))
def test_no_removal_changes_the_rest(program, flatten, seed):
    # given
    torch.manual_seed(seed)
    model = RandomNetwork(program, flatten).double().eval()
    for name, tensor in model.state_dict().items():
        if "norm" in name and tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    inputs = (torch.randn(2, 2, 4, 4, dtype=torch.float64),)
    graph = analyse(model, inputs)
    generator = np.random.default_rng(seed)
    assert not graph.unknown_operators

    for family in graph.families:
        # when one unit goes
        keep = {family.name: np.arange(family.size) != generator.integers(family.size)}

        # then
        assert check_equivalence(masked(model, graph, keep), shrink(model, graph, keep), inputs) <= 1e-10
    # and when any number of any family goes
    keep = {f.name: generator.permutation(f.size) < generator.integers(1, f.size + 1) for f in graph.families}
    assert check_equivalence(masked(model, graph, keep), shrink(model, graph, keep), inputs) <= 1e-10
