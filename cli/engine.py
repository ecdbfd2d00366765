"""`condensa engine MODEL.onnx`: the model compiled by TensorRT, for GPUs that need not be here."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from condensa_core.errors import UsageError
from condensa_core.report.quantities import bytes_text

from .console import after_work, show, show_json
from .options import Json, Quiet, Verbose
from .paths import is_file, require_file_name
from .working import working


class Precision(str, Enum):
    """What an engine computes in."""

    fp32 = "fp32"
    fp16 = "fp16"
    int8 = "int8"


class Runtime(str, Enum):
    """The families of TensorRT."""

    rtx = "tensorrt-rtx"
    full = "tensorrt"


def engine(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="An ONNX file.", show_default=False)],
    targets: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="CAPABILITIES",
            help="GPUs, such as sm86,sm89 [default: that of this machine].",
            show_default=False,
        ),
    ] = None,
    precision: Annotated[
        Precision | None, typer.Option("--precision", help="[default: the file's own]", show_default=False)
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            "--batch",
            metavar="MIN,OPT,MAX",
            help="Batch sizes it takes, and the one it is best at [default: 1,8,32 where the file leaves them free].",
            show_default=False,
        ),
    ] = None,
    runtime: Annotated[Runtime, typer.Option("--runtime", help="Which TensorRT.")] = Runtime.rtx,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Where to write it [default: MODEL.engine].", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Compile an ONNX model for NVIDIA GPUs.

    TensorRT for RTX needs no GPU for it. fp16 casts a float32 file; int8 takes one with quantize nodes. Built once:
    later calls are served from the cache. An existing file is kept unless --force is given.
    """
    require_file_name("--out", out)
    if not is_file(model):
        raise UsageError(f"{model} is no file", hint="give an exported .onnx file, such as best/model.onnx of a run")

    from condensa_core import flow

    with working(quiet=quiet, verbose=verbose) as listener:
        result = flow.engine(
            model,
            capabilities=[] if targets is None else [name.strip() for name in targets.split(",")],
            precision=None if precision is None else precision.value,
            batches=None if batch is None else _batches(batch),
            family=runtime.value,
            out=out,
            force=force,
            listener=listener,
        )
    with after_work("the engines are written"):
        if as_json:
            show_json(result)
        else:
            show(_sentence(result))
    return int(result["exit_code"])


def _batches(text: str) -> tuple[int, int, int]:
    """`8` is one size; `1,8,32` the smallest, the best and the largest."""
    parts = text.split(",")
    if len(parts) not in (1, 3) or not all(part.strip().isdecimal() and len(part) < 8 for part in parts):
        raise UsageError(f"--batch {text} is neither one size nor three", hint="write 8, or 1,8,32")
    least, best, most = (int(part) for part in (parts * 3 if len(parts) == 1 else parts))
    return least, best, most


def _sentence(result: Mapping[str, Any]) -> str:
    verb = "taken from the cache" if result["cached"] else f"built in {result['build_s']:.1f} s"
    memory = [
        f"{what} memory {bytes_text(result[name])}"
        for what, name in (("weights", "weights_bytes"), ("activation", "activation_bytes"))
        if result[name] is not None
    ]
    facts = [f"{result['precision']} for {', '.join(result['capabilities'])}", *memory, f"{result['layers']} layers"]
    return f"{result['path']}  {verb}, {bytes_text(result['size_bytes'])}; {'; '.join(facts)}; {result['unmeasured']}"
