"""`condensa inspect MODEL|RECIPE`: which channels go together, what they cost, what is frozen and why."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Annotated, Any

import typer
from rich.table import Table as RichTable

from condensa_core.errors import UsageError
from condensa_core.report import Table
from condensa_core.report.quantities import count_text, duration_text

from . import exit_codes
from .console import drawn, show, show_json
from .options import Json, NoPython, Quiet, Verbose
from .paths import is_file
from .working import working

LARGEST_INPUT = 2**26  # values of one sample: 256 MiB in float32, before any layer multiplies it
WIDTH = 80  # columns that paragraphs and shortened lists of names are made for


def inspect(
    model: Annotated[
        str, typer.Argument(metavar="MODEL|RECIPE", help="A built-in model or a recipe file.", show_default=False)
    ],
    groups: Annotated[
        bool, typer.Option("--groups", help="Every tensor of each group, and every frozen layer by name.")
    ] = False,
    layers: Annotated[
        bool, typer.Option("--layers", help="Every layer with its type, roles, output and costs.")
    ] = False,
    latency: Annotated[
        bool, typer.Option("--latency", help="Measure how fast a recipe's model gets when one group is cut.")
    ] = False,
    target: Annotated[
        str | None,
        typer.Option("--target", metavar="NAME", help="The recipe's target for --latency  [default: its objective's]"),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", min=0.1, max=3600, help="Time for each measurement of --latency  [default: 1.0]"),
    ] = None,
    input_shape: Annotated[
        str | None,
        typer.Option("--input", metavar="CxHxW", help="Input of one sample, for built-in models  [default: 3x32x32]"),
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option("--classes", min=1, max=10**6, help="Number of classes, for built-in models  [default: 10]"),
    ] = None,
    no_python: NoPython = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Show layers, roles, costs and coupled channels.

    A group is a set of units of which any can be removed, each with all that depends on it: a channel; several that
    only go together (group of 4); an attention head; a hidden unit of a recurrent layer. MACs and parameters are what
    the model loses with one unit, for one sample. Frozen layers keep their channels, because of the operator and the
    line of the model that are named.

    --latency cuts the untrained model to 75, 50 and 25 % of the units of one group, and to one unit, and times each
    cut in turns with the whole model. It first says about how long that takes. Ctrl-C stops it.
    """
    for option, value in (("--target", target), ("--seconds", seconds)):
        if value is not None and not latency:
            raise UsageError(f"{option} is for --latency", hint=f"condensa inspect {model} --latency {option} {value}")
    if seconds is not None and not math.isfinite(seconds):  # the parser lets nan through
        raise UsageError(
            f"--seconds {seconds} is no length of time", hint="give a positive number, such as --seconds 2"
        )
    path = Path(model)
    if path.suffix in (".yaml", ".yml") or is_file(path):
        for option, number in (("--input", input_shape), ("--classes", classes)):
            if number is not None:
                raise UsageError(
                    f"{option} is for built-in models: a recipe's input and classes are those of its data",
                    hint=f"condensa inspect {model}",
                )
        latency_on = (target or "") if latency else None
        summary = _of_recipe(
            path, latency_on, seconds=seconds or 1.0, allow_python=not no_python, quiet=quiet, verbose=verbose
        )
    elif latency:
        raise UsageError("--latency needs a recipe: it says on which target to measure", hint="condensa init")
    else:
        summary = _of_builtin(model, _shape(input_shape or "3x32x32"), classes or 10)
    if as_json:
        head = {"schema": "condensa.inspect/1", "status": "ok", "exit_code": exit_codes.OK, "reasons": []}
        show_json(head | summary)
    else:
        show(*_page(summary, all_layers=layers or verbose, all_members=groups or verbose))
    return exit_codes.OK


def _of_recipe(
    path: Path, latency_on: str | None, *, seconds: float, allow_python: bool, quiet: bool, verbose: bool
) -> dict[str, Any]:
    from condensa_core.recipe import read_recipe

    declared = read_recipe(path)

    from condensa_core import flow

    with working(quiet=quiet, verbose=verbose) as listener:
        return flow.inspect_recipe(
            declared, allow_python=allow_python, latency_on=latency_on, seconds=seconds, listener=listener
        )


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
        raise UsageError(
            f"--input '{text[:40]}' has more than {LARGEST_INPUT} values a sample",
            hint="give the shape of one sample, without the batch, such as --input 3x224x224",
        )
    return shape


def _page(summary: Mapping[str, Any], *, all_layers: bool, all_members: bool) -> list[RichTable | str]:
    """The parts of the page, tables without rows left out, with an empty line between them."""
    tables = [_layers(summary)] if all_layers else []
    tables += [_groups(summary["families"])]
    tables += [_members(summary["families"])] if all_members else []
    tables += [_frozen(summary["frozen"], everything=all_members)]
    tables += [_latency(summary["latency"])] if "latency" in summary else []
    parts: list[RichTable | str] = [_headline(summary)]
    for table in tables:
        if table.rows:
            parts += ["", drawn(table)]
    measured_on = _measured_on(summary["latency"]) if "latency" in summary else []
    return [*parts, "", *_report(summary), *measured_on]


def _headline(summary: Mapping[str, Any]) -> str:
    size = f"{count_text(summary['parameters'])} parameters, {count_text(summary['macs'])} MACs for one sample"
    return f"{summary['name']}  {len(summary['layers'])} layers, {size}"


def _layers(summary: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            layer["name"],
            layer["type"],
            ", ".join(layer["roles"]),
            "x".join(map(str, layer["output_shape"] or ())),
            count_text(layer["parameters"]),
            count_text(layer["macs"]),
        )
        for layer in summary["layers"]
    )
    return Table("layers", ("layer", "type", "roles", "output", "parameters", "MACs"), rows)


def _groups(families: Sequence[Mapping[str, Any]]) -> Table:
    """One line a group; what is averaged has a column only where there is something to say."""
    head = ("group", "units", "unit", "MACs", "params")
    tail = ("averaged by",) if any(family["averaged"] for family in families) else ()
    rows, others = [], []
    for family in families:
        one = family["per_unit"]
        costs = count_text(one["macs"]), count_text(one["parameters"])
        rows.append(
            (
                str(family["name"]),
                str(family["size"]),
                _unit(family),
                *costs,
                *([", ".join(family["averaged"])] if tail else []),
            )
        )
        owners = dict.fromkeys(_module(member["tensor"]) for member in family["members"])
        others.append([name for name in owners if name != family["name"]])
    left = WIDTH - sum(2 + max(map(len, column)) for column in zip((*head, *tail), *rows, strict=True))
    filled = ((*row[: len(head)], _shortened(o, left), *row[len(head) :]) for row, o in zip(rows, others, strict=True))
    return Table("groups: what goes when one unit goes", (*head, "with", *tail), tuple(filled))


def _unit(family: Mapping[str, Any]) -> str:
    if family["unit"] != "group":
        return str(family["unit"])
    several = next(m["positions_per_unit"] for m in family["members"] if m["side"] == "produces")
    return f"group of {several}"


def _members(families: Sequence[Mapping[str, Any]]) -> Table:
    rows = tuple(
        (
            str(family["name"]),
            member["side"],
            member["tensor"],
            str(member["dim"]),
            str(member["positions_per_unit"]),
        )
        for family in families
        for member in family["members"]
    )
    return Table("members: the slices of a unit", ("group", "side", "tensor", "dim", "each"), rows)


def _frozen(frozen: Sequence[Mapping[str, Any]], *, everything: bool) -> Table:
    """Layers that one line of the model froze for one reason share a row."""
    causes: dict[tuple[str, str, str], list[str]] = {}
    for item in frozen:
        cause = (item["reason"], _operator(item["operator"] or ""), item["line"])
        causes.setdefault(cause, []).append(item["layer"])
    rows = tuple(
        (", ".join(layers) if everything else _shortened(layers, 24), reason, operator, line)
        for (reason, operator, line), layers in causes.items()
    )
    return Table("frozen: keeps its channels", ("layer", "because it", "in", "at"), rows)


def _latency(measured: Mapping[str, Any]) -> Table:
    rows = [
        (
            str(group["name"]),
            f"{cut['kept']}/{group['size']}",
            f"{cut['macs_ratio']:.2f}x",
            *(_speed(cut) if "ratio" in cut else ("", f"not measured: {cut['problem']}")),
        )
        for group in measured["groups"]
        for cut in group["cuts"]
    ]
    return Table("latency: one group cut, against the whole model", _LATENCY_COLUMNS, tuple(rows))


_LATENCY_COLUMNS = ("group", "kept", "fewer MACs", "speed", "")


def _speed(cut: Mapping[str, Any]) -> tuple[str, str]:
    ratio = cut["ratio"]
    return f"{ratio['value']:.2f}x [{ratio['low']:.2f}, {ratio['high']:.2f}]", str(cut["verdict"])


def _measured_on(measured: Mapping[str, Any]) -> list[str]:
    """Where and in what time it was measured, and whether the machine was busy."""
    target = measured["target"]
    times = sorted(group["whole_s"] for group in measured["groups"] if group["whole_s"] is not None)
    if not times:
        return []
    clock = "processor time" if measured["cpu_time"] else "wall time"
    runtime = f"{target['backend']} {target['device']}, batch {target['batch']}, threads {target['threads']}"
    where = f"{runtime}; the whole model takes {duration_text(times[len(times) // 2])} of {clock}"
    busy = any(group["noisy"] for group in measured["groups"])
    remark = "" if measured["cpu_time"] or not busy else "; other work disturbed it: measure again on a quiet machine"
    return [_paragraph("latency", where + remark, [])]


def _report(summary: Mapping[str, Any]) -> list[str]:
    """Which operators were met, which are unknown, which froze channels, and how smaller models are made."""
    met = Counter({_operator(name): count for name, count in summary["operators"].items()})
    froze = Counter(_operator(item["operator"]) for item in summary["frozen"] if item["operator"])
    return [
        _paragraph("operators", f"{met.total()} calls of {len(met)}", _counted(met)),
        *(
            _paragraph("unknown", f"{_operator(name)} in {module or 'the model itself'}", ["channels through it stay"])
            for name, module in summary["unknown_operators"].items()
        ),
        *([_paragraph("froze", "layers, by operator", _counted(froze))] if froze else []),
        _paragraph("delivery", _ROUTES[tuple(summary["routes"])], []),
    ]


_ROUTES: Mapping[tuple[str, ...], str] = {
    ("module", "program"): "smaller modules of your own classes; each cut is checked, the captured program is at hand",
    ("module",): "smaller modules of your own classes; the captured program holds for one batch size only",
    ("program",): "the captured program, cut: the forward of a module has sizes written out",
}


def _paragraph(label: str, head: str, items: Iterable[str]) -> str:
    listed = ", ".join(items)
    text = f"{label:<10} {head}" + (f": {listed}" if listed else "")
    return fill(text, WIDTH, subsequent_indent=" " * 11, break_long_words=False, break_on_hyphens=False)


def _counted(counts: Counter[str]) -> list[str]:
    return [f"{name} {count}" for name, count in counts.most_common()]


def _operator(name: str) -> str:
    """An ATen name without what all of them share."""
    return name.removeprefix("aten.").removesuffix(".default")


def _module(tensor: str) -> str:
    return tensor.rpartition(".")[0] or tensor


def _shortened(names: Sequence[str], width: int) -> str:
    """As many names as fit in `width`, at least one, and how many more there are."""
    for shown in range(len(names), 0, -1):
        left = len(names) - shown
        text = ", ".join(names[:shown]) + (f" +{left}" if left else "")
        if len(text) <= width or shown == 1:
            return text
    return ""
