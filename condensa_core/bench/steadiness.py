"""What a reader must know before believing times: how much they vary, and what else the machine did."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from condensa_core.bench.measurement import NOISY, Comparison
from condensa_core.bench.statistics import FEWEST

# As trtexec has it for GPUs, and torch.utils.benchmark for the CPU.
MOST_VARIATION_GPU: Final = 0.025
MOST_SPREAD_CPU: Final = 0.10
# Of two streams on ONNX Runtime 1.31 and Python 3.11, both threads were at work in 93 % of looks at inferences of
# 0.33 ms, but only in half of them at 0.05 ms: the other waited for Python's lock.
SHORTEST_IN_STREAMS_S: Final = 200e-6


def warnings_of(comparison: Comparison) -> Iterator[str]:
    """A sentence for models that the runtime ran in different ways, for too few rounds, for each model whose rounds
    vary too much or that is too short for streams, and one for a busy machine.
    """
    yield from other_ways(comparison)
    gpu = comparison.target.device == "cuda"
    done = min(measurement.rounds for measurement in comparison.measurements.values())
    if comparison.stopped == "seconds" and done < FEWEST:
        yield f"{done} rounds were all that the time allowed, and an interval takes {FEWEST}: give more --seconds"
    for name, measurement in comparison.measurements.items():
        rounds = np.asarray(measurement.round_s)
        quarter, median, three = (float(q) for q in np.percentile(rounds, [25, 50, 75]))
        variation, spread = float(rounds.std(ddof=1) / rounds.mean()), (three - quarter) / median
        if gpu and variation > MOST_VARIATION_GPU:
            yield f"{name} varies by {variation:.1%} (standard deviation / mean) between rounds: lock the GPU's clocks"
        alone_s = measurement.latency_wall_s.p50
        if comparison.target.streams > 1 and alone_s < SHORTEST_IN_STREAMS_S:
            yield (
                f"{name} takes {alone_s * 1e6:.0f} us alone, too short for streams: their threads wait for each "
                "other in Python, so a program without it may do more"
            )
        if not gpu and spread > MOST_SPREAD_CPU:
            yield f"{name} varies by {spread:.0%} (quartiles / median) between rounds: measure for longer, or alone"
    noise = max(measurement.noise for measurement in comparison.measurements.values())
    target, cores = comparison.target, comparison.machine.cores_usable
    if noise > NOISY and target.device == "cpu" and target.threads * target.streams > cores:
        yield f"{target.threads * target.streams} threads wait for {cores} cores: these are times of such a crowd"
    elif noise > NOISY:
        kept = "processor times hold, wall times do not" if target.cpu_timed else "these times do not hold"
        yield f"other work took the machine ({noise:.2g} s of wall time for each second of processor time): {kept}"


def other_ways(comparison: Comparison) -> Iterator[str]:
    """A sentence where the runtime did not run all models in one way: in another precision, or launched otherwise."""
    ways = {name: measurement.provider for name, measurement in comparison.measurements.items()}
    if len(set(ways.values())) > 1:
        each = ", ".join(f"{name} by {way}" for name, way in ways.items())
        yield f"the runtime chose other ways to run them, which is in the ratios: {each}"
