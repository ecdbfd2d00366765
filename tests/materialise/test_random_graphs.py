"""Random small networks, built from the ways in which channels meet: no removal may change what the rest computes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_blocks import BLOCKS
from random_networks import AGAIN, INPUTS, MOST_STEPS, Program, RandomNetwork, random_program
from removal_trials import parameters, removals, try_removals
from torch import nn

from condensa_core.graph import analyse
from condensa_core.materialise import cut_program

programs = st.builds(
    Program,
    source=st.sampled_from(sorted(set(INPUTS))),
    steps=st.lists(
        st.tuples(st.sampled_from([*BLOCKS, AGAIN]), st.integers(0, 2**40)), min_size=1, max_size=MOST_STEPS
    ).map(tuple),
    seed=st.integers(0, 2**16),
)


@pytest.fixture(scope="module")
def counted(request):
    """Sums what the tests tried; the sum is printed."""
    counts = Counter()
    yield counts
    cuts = counts["cuts"] + counts["strict_cuts"] + counts["branch_cuts"]
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{counts['networks']} random networks, {cuts} cuts", end=" ")


@settings(max_examples=36, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(programs)
def test_no_removal_changes_the_rest(counted, program):
    trials = try_removals(RandomNetwork(program), thorough=False)

    counted.update(trials.counts)
    assert trials.wrong == []


@pytest.mark.parametrize(
    ("source", "steps"),
    [
        ("image", ["Convolution", "GroupNorm", "Residual", "FlatLinear"]),
        ("image", ["Split", "Activation", "Concatenate", "Concatenate", "Shuffle", "GroupedConvolution"]),
        ("image", ["Residual", "Gate", "Overwrite", "Summed", "TransposedConvolution", "PixelShuffle"]),
        ("sequence", ["LastNorm", "Attention", "Combine", "ClassToken", "GatedUnit"]),
        ("sequence", ["Recurrent", "WrittenNorm", "EinsumAttention", "Grid", "TiedLayers"]),
        ("tokens", ["Positions", "EncoderLayer", "GroupedQueries", "LastNorm"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else value,
)
def test_strict_cuts_are_exact_and_cut_programs_export_again(counted, source, steps):
    network = RandomNetwork(Program(source, tuple((step, 0) for step in steps), seed=5))
    assert len(network.reads) == len(steps)

    trials = try_removals(network)

    counted.update(trials.counts)
    assert trials.wrong == []
    assert trials.counts["exports"] == trials.counts["strict_cuts"] == 1
    assert trials.counts["changing_cuts"] >= trials.counts["cuts"] - 1  # a unit may be dead, the network not
    assert trials.counts["module_cuts"] + trials.counts["module_refusals"] == trials.counts["cuts"]


@pytest.mark.parametrize("block", [*BLOCKS, AGAIN])
def test_every_block_is_built_and_shows_in_the_output(block):
    # given a network that ends in this block
    feeding = {4: "image", 3: "sequence", 2: "sequence"}
    rank = max(BLOCKS[block].ranks) if block != AGAIN else 4
    before = [("ToVector", 0)] if rank == 2 else []
    before += {
        "Again": [("Activation", 1), ("InstanceNorm", 0)],
        "Condition": [("ToVector", 0)],
        "PixelShuffle": [("Convolution", 0)],
    }.get(block, [])
    network = RandomNetwork(Program(feeding[rank], (*before, (block, 0)), seed=1))
    (x,) = network.example_inputs()

    with torch.no_grad():
        out = network(x)

    assert len(network.reads) == len(before) + 1
    assert all(torch.isfinite(y).all() for y in (out if isinstance(out, tuple) else (out,)))
    # and every tensor of the block matters, unless the choice spelled by 0 leaves it out
    last = network.blocks[network.reads[-1][0]]
    assert not list(last.parameters()) or any(_matters(network, p) for p in last.parameters())


def _matters(network: nn.Module, parameter: nn.Parameter) -> bool:
    (x,) = network.example_inputs()
    out = network(x)
    total = sum(y.square().sum() for y in (out if isinstance(out, tuple) else (out,)))
    (gradient,) = torch.autograd.grad(total, [parameter], allow_unused=True)
    return gradient is not None and bool(gradient.abs().max() > 1e-9)


def test_a_program_spells_the_same_network_again():
    program = random_program(np.random.default_rng(3))

    first, second = RandomNetwork(program), RandomNetwork(program)

    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert torch.equal(first.example_inputs()[0], second.example_inputs()[0])


def test_cuts_of_one_unit_half_and_all_but_one_are_what_they_say():
    network = RandomNetwork(Program("image", (("Convolution", 0), ("BatchNorm", 0), ("Residual", 0)), seed=0))
    graph = analyse(network, network.example_inputs())

    kept = {kind: list(keep.values()) for kind, keep in removals(graph, np.random.default_rng(0))}

    assert [int((~mask).sum()) for mask in kept["one unit"]] == [1]
    assert [int(mask.sum()) for mask in kept["half"]] == [(f.size + 1) // 2 for f in graph.families]
    assert [int(mask.sum()) for mask in kept["one survivor"]] == [1 for _ in graph.families]
    sizes = [parameters(cut_program(network, graph, keep)) for _, keep in removals(graph, np.random.default_rng(0))]
    assert sizes[2] < sizes[1] < sizes[0] < parameters(network)
