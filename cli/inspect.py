"""`condensa inspect MODEL|RECIPE`: layers, roles, coupled channels and costs of a model."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from condensa_core.errors import UsageError
from condensa_core.report import Table
from condensa_core.report.quantities import count_text

from . import exit_codes
from .console import drawn, show, show_json
from .options import Json, NoPython, Quiet, Verbose
from .paths import is_file
from .working import working

LARGEST_INPUT = 2**26  # values of one sample: 256 MiB in float32, before any layer multiplies it


def inspect(
    model: Annotated[
        str, typer.Argument(metavar="MODEL|RECIPE", help="A built-in model or a recipe file.", show_default=False)
    ],
    input_shape: Annotated[
        str, typer.Option("--input", metavar="CxHxW", help="Input of one sample, for built-in models.")
    ] = "3x32x32",
    classes: Annotated[
        int, typer.Option("--classes", min=1, max=10**6, help="Number of classes, for built-in models.")
    ] = 10,
    no_python: NoPython = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Show layers, roles, costs and coupled channels."""
    path = Path(model)
    if path.suffix in (".yaml", ".yml") or is_file(path):
        summary = _of_recipe(path, allow_python=not no_python, quiet=quiet, verbose=verbose)
    else:
        summary = _of_builtin(model, _shape(input_shape), classes)
    if as_json:
        head = {"schema": "condensa.inspect/1", "status": "ok", "exit_code": exit_codes.OK, "reasons": []}
        show_json(head | summary)
    else:
        show(*_drawn(summary))
    return exit_codes.OK


def _of_recipe(path: Path, *, allow_python: bool, quiet: bool, verbose: bool) -> dict[str, Any]:
    from condensa_core.recipe import read_recipe

    declared = read_recipe(path)

    from condensa_core import flow

    with working(quiet=quiet, verbose=verbose) as listener:
        return flow.inspect_recipe(declared, allow_python=allow_python, listener=listener)


def _of_builtin(name: str, input_shape: tuple[int, ...], classes: int) -> dict[str, Any]:
    from condensa_core import flow

    return flow.inspect_builtin(name, input_shape, classes)


def _shape(text: str) -> tuple[int, ...]:
    parts = text.lower().split("x")
    if not all(re.fullmatch("[0-9]{1,8}", part) and int(part) > 0 for part in parts):
        raise UsageError(
            f"--input '{text[:40]}' is no shape", hint="write the sizes of one sample, such as 3x32x32 or 784"
        )
    shape = tuple(int(part) for part in parts)
    if math.prod(shape) > LARGEST_INPUT:
        raise UsageError(f"--input '{text[:40]}' has more than {LARGEST_INPUT} values a sample")
    return shape


def _drawn(summary: Mapping[str, Any]) -> list[Any]:
    layers = Table(
        "layers",
        ("layer", "type", "roles", "output", "parameters", "MACs"),
        tuple(
            (
                layer["name"],
                layer["type"],
                ", ".join(layer["roles"]),
                "x".join(map(str, layer["output_shape"] or ())),
                count_text(layer["parameters"]),
                count_text(layer["macs"]),
            )
            for layer in summary["layers"]
        ),
    )
    families = Table(
        "coupled channels (a family shrinks together)",
        ("family", "channels", "layers", "parameters"),
        tuple(
            (
                str(family["name"]),
                str(family["size"]),
                ", ".join(family["layers"]),
                count_text(family["parameters"]),
            )
            for family in summary["families"]
        ),
    )
    total = f"in all: {count_text(summary['parameters'])} parameters, {count_text(summary['macs'])} MACs for one sample"
    remarks = [f"frozen: {_frozen(item)}" for item in summary["frozen"]]
    if summary["unknown_operators"]:
        remarks.append(f"operators that freeze channels: {', '.join(summary['unknown_operators'])}")
    return [drawn(layers), "", drawn(families), "", total, *remarks]


def _frozen(item: Mapping[str, Any]) -> str:
    operator = f" ({item['operator']})" if item["operator"] else ""
    return f"{item['layer']}: {item['reason']}{operator}"
