"""`bench`: exported files timed against each other, on one runtime or several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from condensa_core import bench as measuring
from condensa_core.bench import (
    BenchTarget,
    Feeds,
    InputRequest,
    ModelFile,
    examine,
    fitting,
    judge,
    prepare,
    require_room,
    runtime_named,
)
from condensa_core.errors import ExportFailed, ParityError, UsageError
from condensa_core.progress import Listener, silent
from condensa_core.randomness import Seed

SCHEMA = "condensa.bench/2"


def bench(
    paths: Sequence[Path],
    *,
    runtimes: Sequence[str] = ("onnxruntime",),
    batch: int | None = None,
    shapes: Sequence[str] = (),
    inputs: Path | None = None,
    threads: int = 1,
    device: str = "cpu",
    seconds: float = 2.0,
    rounds: int = 20,
    seed: int = 0,
    compare: Path | None = None,
    at_least: float | None = None,
    listener: Listener = silent,
) -> dict[str, Any]:
    """The comparisons, one for each runtime, as JSON values (schema condensa.bench/2) with status, exit_code, reasons.

    A runtime measures those of the files that are of its kind; every file must be of the kind of one of them. All are
    fed the same numbers: random by `seed`, of sizes that `batch` and `shapes` (`NAME=8x3x224x224`, `NAME=32`) give
    where the files leave them open, or the arrays of the .npz file `inputs`.
    With `compare` all ratios are to that file, the difference of outputs on the same inputs is reported, and `at_least`
    must hold for the lower end of every interval: `verdicts` says of each file whether it does, `reasons` of those that
    do not.
    UsageError for files that cannot be measured, MissingRuntime for what is not installed.
    """
    if at_least is not None and compare is None:
        raise UsageError("--at-least needs --compare: a ratio to what?")
    named = _names([compare, *paths] if compare else list(paths))
    base = next(iter(named))
    found = {name: examine(path) for name, path in named.items()}
    shares = {runtime: _share(found, runtime, base if compare else None) for runtime in runtimes}
    _all_measured(found, shares)
    require_room(found.values())
    whole, sizes = measuring.parse_shapes(shapes)
    request = InputRequest(batch, sizes=sizes, shapes=whole, file=inputs, seed=Seed(seed))
    prepared = prepare({name: file.inputs for name, file in found.items()}, request)
    # before anything is timed: files that cannot be compared are refused in the first second
    parity = _parity(found, prepared.feeds, base) if compare else {}
    comparisons, reasons = [], []
    for runtime, files in shares.items():
        target = BenchTarget(runtime, device, prepared.batch, threads)
        comparison = measuring.compare(
            {name: file.path for name, file in files.items()},
            target,
            seconds=seconds * len(files),
            rounds=rounds,
            seed=Seed(seed),
            feeds=prepared.feeds,
            listener=listener,
        )
        others = [name for name in files if name != next(iter(files))]
        verdicts = [verdict for name in others for verdict in judge(comparison, name, base, at_least=at_least)]
        reasons += [verdict.line for verdict in verdicts if not verdict.passed]
        record = {key: value for key, value in comparison.to_json().items() if key not in ("schema", "seed", "machine")}
        comparisons.append({**record, "parity": parity, "verdicts": [asdict(verdict) for verdict in verdicts]})
    return {
        "schema": SCHEMA,
        "status": "not-met" if reasons else "ok",
        "exit_code": 1 if reasons else 0,
        "reasons": reasons,
        "machine": comparison.machine.to_json(),
        "seed": seed,
        "comparisons": comparisons,
    }


def _share(found: Mapping[str, ModelFile], runtime: str, base: str | None) -> dict[str, ModelFile]:
    """The files that this runtime measures; UsageError if there is none, or not the one to compare with."""
    takes = runtime_named(runtime).takes
    files = {name: file for name, file in found.items() if file.kind == takes}
    if base is not None and base not in files:
        fitting(found[base], runtime)
    if not files or (base is not None and len(files) == 1):
        fitting(next(file for file in found.values() if file.kind != takes), runtime)
    return files


def _all_measured(found: Mapping[str, ModelFile], shares: Mapping[str, Mapping[str, ModelFile]]) -> None:
    """UsageError for a file that none of the runtimes takes."""
    for name, file in found.items():
        if not any(name in files for files in shares.values()):
            fitting(file, next(iter(shares)))


def _parity(found: Mapping[str, ModelFile], feeds: Mapping[str, Feeds], base: str) -> dict[str, Any]:
    """How far the outputs of each ONNX file are from those of the first, on what both are fed, by ONNX Runtime."""
    files = [name for name, file in found.items() if file.kind == "onnx"]
    if len(files) < 2 or base not in files:
        return {}

    import torch  # loads in seconds, of which a measurement alone needs none

    from condensa_core.export import OnnxModel
    from condensa_core.export.parity import compare

    def inputs(name: str) -> tuple[torch.Tensor, ...]:
        return tuple(torch.from_numpy(array) for array in feeds[name].values())

    def computing(name: str) -> Callable[..., Any]:
        model = OnnxModel(found[name].path)
        return lambda *_: model(*inputs(name))

    try:
        reference = computing(base)
        return {
            name: asdict(compare(reference, computing(name), [inputs(base)], 1e-4)) for name in files if name != base
        }
    except (ExportFailed, ParityError) as err:
        raise UsageError(err.message) from err


def _names(paths: Sequence[Path]) -> dict[str, Path]:
    """Short names that tell the files apart: the file's own, with as many of its folders as it takes."""
    named: dict[str, Path] = {}
    for path in paths:
        tails = (path.parts[-depth:] for depth in range(1, len(path.parts) + 1))
        own = (tail for tail in tails if sum(other.parts[-len(tail) :] == tail for other in paths) == 1)
        name = str(Path(*next(own, path.parts)))
        if name in named:
            raise UsageError(f"{path} is given twice")
        named[name] = path
    return named
