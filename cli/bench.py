"""`condensa bench MODEL.onnx...`: models timed against each other on one runtime, interleaved."""

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
from .paths import is_file
from .working import working

_RATIO = re.compile(r"(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})x?")


def bench(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL.onnx...", help="ONNX files.", show_default=False)],
    batch: Annotated[int, typer.Option("--batch", min=1, max=10**6, help="Samples per inference.")] = 1,
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
    """Time ONNX models against each other.

    Interleaved in random order on ONNX Runtime, with 95 % intervals of their ratios.
    """
    least = None if at_least is None else _ratio(at_least)
    if not math.isfinite(seconds):  # the parser lets nan through, which is neither below nor above its bounds
        raise UsageError(f"--seconds {seconds} is no length of time")
    for path in [*models, *([compare] if compare else [])]:
        if not is_file(path):
            raise UsageError(f"{path} is no file")

    from condensa_core import flow

    with working(quiet=quiet, verbose=verbose) as listener:
        result = flow.bench(
            list(models),
            batch=batch,
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
        show(_conditions(result), drawn(_measurements(result)), *(verdict["line"] for verdict in result["verdicts"]))
    return int(result["exit_code"])


def _ratio(text: str) -> float:
    """What `--at-least` asks for: `1.5x`, or `1.5`."""
    number = _RATIO.fullmatch(text)
    if number is None or not float(number[1]) > 0:
        raise UsageError(f"--at-least {text} is no ratio", hint="write how many times as fast, such as 1.5x")
    return float(number[1])


def _conditions(result: Mapping[str, Any]) -> str:
    """What all files of a comparison were run by and on, in one line."""
    target, (measured, *_) = result["target"], result["measurements"].values()
    threads = f"{target['threads']} thread{'' if target['threads'] == 1 else 's'}"
    clock = "processor time" if measured["cpu_time"] else "wall time"
    runtime = f"{measured['runtime']} ({measured['provider']})"
    return f"{runtime}, batch {target['batch']}, {threads}, {clock}; {result['machine']['cpu']}"


def _measurements(result: Mapping[str, Any]) -> Table:
    rows = []
    for name, measured in result["measurements"].items():
        latency, ratio = measured["latency_s"], result["ratios"].get(name)
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
