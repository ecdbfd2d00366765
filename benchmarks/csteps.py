"""Our C steps beside those of the LC library: processor time of one thread and error, on the same weights.

    git clone https://github.com/UCMerced-ML/LC-model-compression
    python benchmarks/csteps.py --library LC-model-compression --weights reference_lenet300_fmnist.pt \
        --out benchmarks/results/csteps.json

The weights are a state dict of a LeNet-300: the first layer (235,200 weights) alone, or all three (266,200). The
library runs as it is, on float64 vectors on the host as in its own loop; ours on the float32 tensors of the model. Both
times end with dense weights. Rounds alternate between the two; times are medians with quartiles, after one round of
warm-up. Warm: the library starts from the book of its last C step, on the same weights or on weights that moved by 2 %
of their deviation, as an L step would; ours needs no start. The library's binary classes need `numpy.int`, which numpy
dropped in 1.24: it is put back as `int`. Nothing else is touched.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import sklearn
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from condensa_core.bench import describe_machine
from condensa_core.schemes import Binary, Codebook, LowRank, Prune, Scheme, Target, Ternary

SEED = 0


@dataclass(frozen=True)
class Case:
    """One C step: the library's, on a float64 array, and ours."""

    name: str
    tensors: dict[str, Tensor]
    library: Callable[[], Callable[[np.ndarray], np.ndarray]]  # a fresh solver; its answer is the dense weights
    scheme: Scheme
    rounds: int
    matrix: bool = False


def cases(library: Any, tensors: list[Tensor]) -> list[Case]:
    quantization, pruning, low_rank = library
    first = {"0": tensors[0]}
    every = {str(at): tensor for at, tensor in enumerate(tensors)}
    some = {"0": tensors[0].flatten()[:20000]}

    def cold(k: int) -> Callable[[], Callable[[np.ndarray], np.ndarray]]:
        return lambda: quantization.AdaptiveQuantization(k).compress

    def warm(k: int, before: dict[str, Tensor]) -> Callable[[], Callable[[np.ndarray], np.ndarray]]:
        def solver() -> Callable[[np.ndarray], np.ndarray]:
            solver = quantization.AdaptiveQuantization(k)
            with contextlib.redirect_stdout(io.StringIO()):
                solver.compress(as_array(before))
            return solver.compress

        return solver

    noise = torch.randn(tensors[0].shape, generator=torch.Generator().manual_seed(SEED))
    earlier = {"0": tensors[0] + 0.02 * tensors[0].std() * noise}

    def optimal() -> Callable[[np.ndarray], np.ndarray]:
        def compress(data: np.ndarray) -> np.ndarray:
            # Its own `compress` ends in a NameError; the search is what takes the time.
            centres = np.asarray(quantization.OptimalAdaptiveQuantization(4).optimal_kmeans(data)[1])
            return centres[np.abs(data[:, None] - centres[None, :]).argmin(1)]

        return compress

    return [
        Case("code book k=2, 235,200, cold", first, cold(2), Codebook(2), 11),
        Case("code book k=2, 235,200, warm, same weights", first, warm(2, first), Codebook(2), 15),
        Case("code book k=2, 235,200, warm, moved weights", first, warm(2, earlier), Codebook(2), 15),
        Case("code book k=16, 235,200, warm, moved weights", first, warm(16, earlier), Codebook(16), 3),
        Case("code book k=2, 266,200, cold", every, cold(2), Codebook(2), 11),
        Case("code book k=4, 235,200, cold", first, cold(4), Codebook(4), 7),
        Case("code book k=16, 235,200, cold", first, cold(16), Codebook(16), 3),
        Case("exact code book k=4, 20,000", some, optimal, Codebook(4), 5),
        Case("binary, 235,200", first, lambda: quantization.ScaledBinaryQuantization().compress, Binary(), 31),
        Case("ternary, 235,200", first, lambda: quantization.ScaledTernaryQuantization().compress, Ternary(), 15),
        Case(
            "l0, 266,200 to 13,310", every, lambda: pruning.ConstraintL0Pruning(13310).compress, Prune(kappa=13310), 31
        ),
        Case(
            "l1 ball of 2,000, 266,200",
            every,
            lambda: pruning.ConstraintL1Pruning(2000).compress,
            Prune(kappa=2000, norm="l1"),
            31,
        ),
        Case("rank 20, 300 x 784", first, lambda: low_rank.LowRank(20).compress, LowRank(rank=20), 31, matrix=True),
        Case("rank 100, 300 x 784", first, lambda: low_rank.LowRank(100).compress, LowRank(rank=100), 31, matrix=True),
    ]


def as_array(tensors: dict[str, Tensor], *, matrix: bool = False) -> np.ndarray:
    """What the library is given: one float64 vector, or the matrix."""
    if matrix:
        return next(iter(tensors.values())).double().numpy()
    return torch.cat([tensor.flatten() for tensor in tensors.values()]).double().numpy()


def measure(case: Case) -> dict[str, Any]:
    """Times and errors of both."""
    weights, target = as_array(case.tensors, matrix=case.matrix), Target(case.tensors)
    times: dict[str, list[float]] = {"library": [], "ours": []}
    errors: dict[str, float] = {}
    for number in range(case.rounds + 1):
        np.random.seed(SEED + number)
        solver = case.library()
        with contextlib.redirect_stdout(io.StringIO()):
            begun = time.thread_time_ns()
            theirs = solver(weights)
            library_s = (time.thread_time_ns() - begun) / 1e9
        begun = time.thread_time_ns()
        dense = case.scheme.project(target).decode()
        ours_s = (time.thread_time_ns() - begun) / 1e9
        if number > 0:
            times["library"].append(library_s)
            times["ours"].append(ours_s)
        # The library starts from random centres: the best of its rounds counts.
        errors["library"] = min(errors.get("library", np.inf), float(((weights - theirs) ** 2).sum()))
        errors["ours"] = float(((weights - as_array(dense, matrix=case.matrix)) ** 2).sum())
    result: dict[str, Any] = {"case": case.name, "rounds": case.rounds}
    for side, seconds in times.items():
        low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive")
        result[side] = {"median_s": middle, "quartiles_s": [low, high], "squared_error": errors[side]}
    result["times_faster"] = result["library"]["median_s"] / result["ours"]["median_s"]
    result["error_over_library"] = errors["ours"] / errors["library"] - 1
    return result


def load_library(path: Path) -> tuple[Any, Any, Any]:
    """The modules of the library's compression types."""
    np.int = int  # type: ignore[attr-defined]
    sys.path.insert(0, str(path))
    from lc.compression_types import low_rank, pruning, quantization  # type: ignore[import-not-found]

    return quantization, pruning, low_rank


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, required=True, help="a checkout of LC-model-compression")
    parser.add_argument("--weights", type=Path, required=True, help="state dict of a LeNet-300")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    state = torch.load(options.weights, weights_only=True)
    tensors = [tensor for name, tensor in state.items() if name.endswith("weight")]
    rows = []
    with threadpool_limits(1):
        for case in cases(load_library(options.library), tensors):
            if options.only in case.name:
                rows.append(measure(case))
                print(json.dumps(rows[-1]), flush=True)
    if options.out:
        commit = subprocess.run(
            ["git", "-C", str(options.library), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
        result = {
            "benchmark": "C steps: processor time of one thread and squared error, the LC library's beside ours",
            "command": "python benchmarks/csteps.py --library LC-model-compression --weights WEIGHTS",
            "library": "UCMerced-ML/LC-model-compression " + (commit.stdout.strip() or "(no git checkout)"),
            "shims": "numpy.int = int; nothing else of the library is changed",
            "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
            "machine": describe_machine().to_json(),
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "numpy": np.__version__,
                "scipy": scipy.__version__,
                "scikit-learn": sklearn.__version__,
            },
            "cases": rows,
        }
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
