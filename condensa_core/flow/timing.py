"""What a target times of a candidate, and whether that computes what the candidate does."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from torch import Tensor, nn

from condensa_core.bench import (
    BenchTarget,
    Comparison,
    InputRequest,
    ModelFile,
    Runner,
    Witness,
    compare,
    examine,
    parity_batches,
    prepare,
    runtime_named,
)
from condensa_core.bench.arithmetic import arithmetic_of, rounds_around_zero
from condensa_core.errors import ParityError
from condensa_core.export import load_pt2, require, save_pt2
from condensa_core.export.parity import compare as parity_of
from condensa_core.flow.probing import probed
from condensa_core.progress import Listener, Note, silent
from condensa_core.randomness import Seed

PROGRAM_TOLERANCE = 1e-4  # of a program against its module, relatively: as of an ONNX file


def takes_programs(target: BenchTarget) -> bool:
    """Whether the target's runtime takes programs of torch.export, not ONNX files."""
    return runtime_named(target.backend).takes == "torch-program"


def timed_file(file: Path, target: BenchTarget) -> Path:
    """What is timed of the model whose ONNX file is `file`: that, or the program that lies beside it."""
    return file.with_suffix(".pt2") if takes_programs(target) else file


def write_program(model: nn.Module, example: tuple[Tensor, ...], file: Path) -> Path:
    """The model as a program beside its ONNX file; ParityError unless it computes what the model computes."""
    path = file.with_suffix(".pt2")
    save_pt2(model, example, path)
    require(parity_of(model.eval(), load_pt2(path), [example], PROGRAM_TOLERANCE), path.name)
    return path


def time_in_turns(
    files: Mapping[str, Path],
    target: BenchTarget,
    *,
    seconds: float,
    rounds: int,
    seed: Seed,
    judged: Collection[str] | None = None,
    batch: int | None = None,
    listener: Listener = silent,
) -> Comparison:
    """The models of these ONNX files measured in turns on the target; the first is the baseline.

    Each session, or those of the names in `judged`, is first held against its own file computed node by node.
    ParityError where it computes something else, RunFailed where a file crashes its runtime (`probed`); other errors as
    of `bench.compare`. A Note says where there was nothing to hold it against.
    """
    found = {name: examine(probed(timed_file(path, target), target, batch)) for name, path in files.items()}
    request = InputRequest(batch=batch or target.batch, seed=seed)
    fed = prepare({name: file.inputs for name, file in found.items()}, request)
    witness = Witness(found, parity_batches(found, request, fed), target.device)

    def check(name: str, runner: Runner) -> None:
        here = (target.backend, target.device) == ("onnxruntime", "cpu")
        if (judged is not None and name not in judged) or (here and _judged_when_made(found[name])):
            return
        witness(name, runner)
        parity = witness.parity[name]
        if parity.ok is None:
            listener(Note(f"{name} was timed without a check of its outputs: {parity.problem}", level="warning"))
        elif not parity.ok:
            raise ParityError(
                f"{runner.runtime} ({runner.provider}) computes something else than {found[name].path.name} says: "
                f"it differs{parity.finding}, {parity.tolerance:.0e} is allowed",
                hint="leave this target out, or time on another runtime or another version of it",
            )

    return compare(
        {name: file.path for name, file in found.items()},
        target,
        batch=batch,
        seconds=seconds,
        rounds=rounds,
        seed=seed,
        feeds=fed.feeds,
        check=check,
        listener=listener,
    )


def _judged_when_made(file: ModelFile) -> bool:
    """Whether it has integers that ONNX Runtime's CPU provider was held against, on data that they were made for."""
    return arithmetic_of(file) == "integer" and not rounds_around_zero(file)
