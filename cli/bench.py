"""`condensa bench MODEL...`: models timed against each other, interleaved, on one runtime or several."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated

import typer

from condensa_core.errors import UsageError
from condensa_core.report.bench_files import bench_junit, bench_markdown, read_baseline, require_place, save_text
from condensa_core.report.bench_tables import bench_sections

from .amounts import listed, percentage, ratio, samples, size_in_bytes
from .console import after_work, drawn, say, show, show_json
from .options import Json, Quiet, Verbose
from .paths import is_file, is_folder, require_file_name
from .working import working


def bench(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL...", help="ONNX files, or .pt2 programs of torch.", show_default=False),
    ],
    runtime: Annotated[
        list[str],
        typer.Option(
            "--runtime",
            metavar="NAME",
            help="onnxruntime, onnxruntime-tensorrt, openvino, tensorrt or tensorrt-rtx for ONNX files, torch or "
            "torch-inductor for .pt2 programs. Several, by commas or one by one, give a table each.",
        ),
    ] = ["onnxruntime"],  # noqa: B006 - typer copies it
    batch: Annotated[
        list[str],
        typer.Option(
            "--batch",
            metavar="N[,N...]",
            help="Samples per inference: 1, unless the file or --shape has another. Several: throughput at each.",
        ),
    ] = [],  # noqa: B006
    scenario: Annotated[
        list[str],
        typer.Option(
            "--scenario",
            metavar="NAME",
            help="latency (one inference after another, at one batch) or throughput (at --batch 1,8,32), or both.",
        ),
    ] = [],  # noqa: B006
    shape: Annotated[
        list[str],
        typer.Option(
            "--shape",
            metavar="NAME=SIZES",
            help="The shape of an input, image=8x3x224x224, or the size of an open dimension, time=32.",
        ),
    ] = [],  # noqa: B006
    inputs: Annotated[
        Path | None,
        typer.Option("--inputs", metavar="FILE.npz", help="Feed these arrays, by input name, instead of random ones."),
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of the runtime, of each stream.")] = 1,
    streams: Annotated[
        int,
        typer.Option("--streams", min=1, help="Inferences under way at once, for throughput on onnxruntime, openvino."),
    ] = 1,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds",
            min=0.1,
            max=3600,
            help="Measuring time per model and load, at most: until ratios are known to 2 %.",
        ),
    ] = 2.0,
    rounds: Annotated[int, typer.Option("--rounds", min=3, max=10000, help="Interleaved rounds, at most.")] = 100,
    compare: Annotated[
        Path | None, typer.Option("--compare", metavar="BASE.onnx", help="Report ratios to this model.")
    ] = None,
    min_speedup: Annotated[
        str | None,
        typer.Option("--min-speedup", metavar="RATIO", help="Exit 1 unless each is this much faster than BASE: 1.5x."),
    ] = None,
    max_slowdown: Annotated[
        str | None,
        typer.Option("--max-slowdown", metavar="PERCENT", help="Exit 1 if one may take more time than BASE: 5%."),
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option("--max-size", metavar="BYTES", help="Exit 1 if a file is larger, with its weight files: 6MiB."),
    ] = None,
    engine: Annotated[
        list[str],
        typer.Option(
            "--engine",
            metavar="CAPABILITIES",
            help="Build an engine of TensorRT for RTX of each ONNX file for these GPUs, such as sm86,sm89, and show "
            "its bytes and memory. None is timed, and no GPU is needed.",
        ),
    ] = [],  # noqa: B006
    max_engine_size: Annotated[
        str | None,
        typer.Option("--max-engine-size", metavar="BYTES", help="Exit 1 if an engine is larger: 6MiB."),
    ] = None,
    max_error: Annotated[
        float | None,
        typer.Option(
            "--max-error",
            metavar="ERROR",
            help="Exit 1 if outputs differ more, relative to half their range (docs/bench.md), from those of BASE or, "
            "without one, of the same file computed node by node.",
        ),
    ] = None,
    allow_mismatch: Annotated[
        bool,
        typer.Option("--allow-mismatch", help="Do not exit 1 where a session computes something else than its file."),
    ] = False,
    save_baseline: Annotated[
        Path | None,
        typer.Option("--save-baseline", metavar="FILE", help="Save the result to compare with later, if all holds."),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline",
            metavar="FILE",
            help="Hold the speed against what was saved, of the same files on the same machine.",
        ),
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Show the time of each layer, on ONNX Runtime.")] = False,
    memory: Annotated[
        bool, typer.Option("--memory/--no-memory", help="Measure peak memory, in a process for each model.")
    ] = True,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            min=1,
            max=86400,
            help="Give up on a file that is not loaded and run once in this time.",
        ),
    ] = 600.0,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write the verdicts as JUnit XML.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Write the tables for a pull request.")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=2**63 - 1, help="Orders the rounds and draws the inputs.")
    ] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Time models against each other.

    They are loaded together and take turns in random order; ratios have 95 % intervals. All are fed the same numbers:
    random by --seed, or those of --inputs. A first look: condensa bench a.onnx b.onnx. In CI: condensa bench small.onnx
    --compare base.onnx --min-speedup 1.5x. On two runtimes: --runtime onnxruntime,openvino.
    """
    require_file_name("--junit", junit, 'name="condensa bench"')
    require_file_name("--markdown", markdown, "### condensa bench")
    require_file_name("--save-baseline", save_baseline, '"condensa.bench/')
    fastest = None if min_speedup is None else ratio(min_speedup, "--min-speedup")
    slowest = None if max_slowdown is None else percentage(max_slowdown, "--max-slowdown")
    largest = None if max_size is None else size_in_bytes(max_size, "--max-size")
    engine_limit = None if max_engine_size is None else size_in_bytes(max_engine_size, "--max-engine-size")
    if max_error is not None and not 0 <= max_error < math.inf:
        raise UsageError(f"--max-error {max_error} is no bound", hint="write a number such as 1e-3")
    batches = [samples(text, "--batch") for text in listed(batch)]
    if not math.isfinite(timeout):
        raise UsageError(f"--timeout {timeout} is no length of time", hint="write seconds, such as 60")
    if not math.isfinite(seconds):  # the parser lets nan through, which is neither below nor above its bounds
        raise UsageError(
            f"--seconds {seconds} is no length of time", hint="give a positive number, such as --seconds 2"
        )
    for path in [*models, *([compare] if compare else [])]:
        if not is_file(path) and not is_folder(path):
            raise UsageError(f"{path} is no file", hint="give exported models: .onnx files, or .pt2 programs")

    for written in (junit, markdown, save_baseline):
        if written is not None:
            require_place(written)

    from condensa_core import flow

    with working(quiet=quiet, verbose=verbose) as listener:
        result = flow.bench(
            list(models),
            runtimes=listed(runtime),
            scenarios=listed(scenario),
            batches=batches,
            shapes=shape,
            inputs=inputs,
            threads=threads,
            streams=streams,
            device="cuda" if device == "gpu" else device,  # as in recipes
            seconds=seconds,
            rounds=rounds,
            seed=seed,
            compare=compare,
            bounds=flow.Bounds(fastest, slowest, largest, max_error, engine_limit),
            allow_mismatch=allow_mismatch,
            baseline=None if baseline is None else read_baseline(baseline),
            memory=memory,
            layers=layers,
            engines=listed(engine),
            timeout_s=timeout,
            listener=listener,
        )
    with after_work("what was measured is lost"):
        if as_json:  # before the files, so that a full disk costs no result
            show_json(result)
        else:
            for section in bench_sections(result):
                show(*filter(None, [section.heading]), *map(drawn, section.tables), *section.lines)
    if junit is not None:
        save_text(junit, bench_junit(result))
    if markdown is not None:
        save_text(markdown, bench_markdown(result))
    if save_baseline is not None:
        if result["exit_code"] == 0:
            save_text(save_baseline, json.dumps(result, indent=2, allow_nan=False) + "\n")
        else:  # else the next run would be held against what was just refused
            say(f"{save_baseline} is left as it was: a bound does not hold")
    return int(result["exit_code"])
