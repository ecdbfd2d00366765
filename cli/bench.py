"""`condensa bench MODEL...`: models timed against each other, interleaved, on one runtime or several."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from condensa_core.errors import UsageError
from condensa_core.report import Table
from condensa_core.report.quantities import duration_text, quantity_text

from .console import drawn, show, show_json
from .options import Json, Quiet, Verbose
from .paths import is_file, is_folder
from .working import working

_RATIO = re.compile(r"(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})x?")


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
        int | None,
        typer.Option("--batch", min=1, max=10**6, help="Samples per inference; 1, unless the file or --shape has one."),
    ] = None,
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
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of the runtime.")] = 1,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, max=3600, help="Measuring time per model.")] = 2.0,
    rounds: Annotated[int, typer.Option("--rounds", min=3, max=10000, help="Interleaved rounds.")] = 20,
    compare: Annotated[
        Path | None, typer.Option("--compare", metavar="BASE.onnx", help="Report ratios to this model.")
    ] = None,
    at_least: Annotated[
        str | None,
        typer.Option("--at-least", metavar="RATIO", help="Exit 1 unless every ratio to BASE reaches this, as 1.5x."),
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
    --compare base.onnx --at-least 1.5x. On two runtimes: --runtime onnxruntime,openvino.
    """
    least = None if at_least is None else _ratio(at_least)
    if not math.isfinite(seconds):  # the parser lets nan through, which is neither below nor above its bounds
        raise UsageError(f"--seconds {seconds} is no length of time")
    for path in [*models, *([compare] if compare else [])]:
        if not is_file(path) and not is_folder(path):
            raise UsageError(f"{path} is no file")

    from condensa_core import flow

    with working(quiet=quiet, verbose=verbose) as listener:
        result = flow.bench(
            list(models),
            runtimes=[name.strip() for names in runtime for name in names.split(",")],
            batch=batch,
            shapes=shape,
            inputs=inputs,
            threads=threads,
            device=device,
            seconds=seconds,
            rounds=rounds,
            seed=seed,
            compare=compare,
            at_least=least,
            listener=listener,
        )
    if as_json:
        show_json(result)
    else:
        for comparison in result["comparisons"]:
            lines = (verdict["line"] for verdict in comparison["verdicts"])
            show(_conditions(comparison, result["machine"]), drawn(_measurements(comparison)), *lines)
    return int(result["exit_code"])


def _ratio(text: str) -> float:
    """What `--at-least` asks for: `1.5x`, or `1.5`."""
    number = _RATIO.fullmatch(text)
    if number is None or not float(number[1]) > 0:
        raise UsageError(f"--at-least {text} is no ratio", hint="write how many times as fast, such as 1.5x")
    return float(number[1])


def _conditions(comparison: Mapping[str, Any], machine: Mapping[str, Any]) -> str:
    """What all files of a comparison were run by and on, in one line."""
    target, (measured, *_) = comparison["target"], comparison["measurements"].values()
    threads = f"{target['threads']} thread{'' if target['threads'] == 1 else 's'}"
    clock = "processor time" if measured["cpu_time"] else "wall time"
    runtime = f"{measured['runtime']} ({measured['provider']})"
    return f"{runtime}, batch {target['batch']}, {threads}, {clock}; {machine['cpu']}"


def _measurements(comparison: Mapping[str, Any]) -> Table:
    rows = []
    for name, measured in comparison["measurements"].items():
        latency, ratio = measured["latency_s"], comparison["ratios"].get(name)
        rows.append(
            (
                str(name),
                quantity_text(measured["throughput_per_s"], "1/s"),
                duration_text(latency["p50"]),
                duration_text(latency["p99"]),
                f"{ratio['value']:.2f}x [{ratio['low']:.2f}, {ratio['high']:.2f}]" if ratio else "",
                f"{measured['noise']:.2f}" if measured.get("noise") is not None else "",
            )
        )
    return Table("", ("model", "throughput", "median", "p99", "ratio", "wall/CPU"), tuple(rows))
