"""`condensa unpack MODEL.packed.onnx`: the same model with its weights stored as plain tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from condensa_core.errors import UsageError
from condensa_core.report.quantities import bytes_text

from .console import after_work, show, show_json
from .options import Json
from .paths import is_file, require_file_name


def unpack(
    model: Annotated[Path, typer.Argument(metavar="MODEL.packed.onnx", help="A packed file.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Where to write it [default: the name without .packed].", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    as_json: Json = False,
) -> int:
    """Write a packed model as a plain ONNX file.

    ONNX Runtime decodes packed files at load. Compilers such as TensorRT decode them at every inference: give them the
    plain file. An existing file is kept unless --force is given.
    """
    require_file_name("--out", out)
    if not is_file(model):
        raise UsageError(f"{model} is no file", hint="give a packed file, such as best/model.packed.onnx of a run")

    from condensa_core import flow

    result = flow.unpack(model, out=out, force=force)
    with after_work(f"{result['path']} is written"):
        if as_json:
            show_json(result)
        else:
            packed, dense = (bytes_text(result[name]) for name in ("packed_bytes", "size_bytes"))
            show(f"{result['path']}  {packed} to {dense}, {result['ratio']:.2f}x")
    return int(result["exit_code"])
