"""Comparisons without measuring: made of the seconds of each round."""

from __future__ import annotations

from condensa_core.bench import BenchTarget, Comparison, Measurement, describe_machine
from condensa_core.bench.statistics import quantiles
from condensa_core.randomness import Seed


def made(round_s: dict[str, list[float]], size_bytes: int = 1000) -> Comparison:
    """A comparison with these seconds per round."""
    return Comparison(
        {
            name: Measurement(
                name=name,
                file=f"{name}.onnx",
                size_bytes=size_bytes,
                runtime="onnxruntime 1.31.1",
                provider="CPUExecutionProvider",
                rounds=len(times),
                runs=len(times),
                clock="processor",
                throughput_per_s=1 / times[0],
                latency_s=quantiles(times),
                latency_wall_s=quantiles(times),
                round_s=tuple(times),
                round_wall_s=tuple(times),
                single_s=tuple((seconds,) for seconds in times),
                noise=1.0,
                load_s=0.1,
                first_inference_s=0.1,
            )
            for name, times in round_s.items()
        },
        BenchTarget(),
        describe_machine(),
        Seed(),
        "rounds",
    )
