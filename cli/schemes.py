"""`condensa schemes`: what may be done to weights, and what each thing is worth."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .console import show, show_json
from .exit_codes import OK
from .options import Json


def schemes(
    markdown: Annotated[bool, typer.Option("--markdown", help="As the page docs/schemes.md.")] = False,
    as_json: Json = False,
) -> int:
    """List the schemes that a recipe may name.

    With their settings, what they do to files, and what they do to speed.

    A rule of a recipe names one under `scheme:`, or a list that acts on the same weights in order.
    """
    from condensa_core import flow

    records = flow.catalogue()
    if as_json:
        show_json({"schemes": records, "exit_code": OK})
    elif markdown:
        show(_page(records).rstrip("\n"))
    else:
        for record in records:
            show(f"{record['name']}: {record['summary']}")
            if record["settings"]:
                show(f"  settings: {_settings(record)}")
            show(f"  file: {record['file']}\n  speed: {record['speed']}")
    return OK


def _settings(record: dict[str, Any]) -> str:
    settings = record["settings"].items()
    return ", ".join(name if value is None else f"{name} ({_plain(value)})" for name, value in settings)


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _page(records: list[dict[str, Any]]) -> str:
    lines = [
        "# Schemes",
        "",
        "Written by `condensa schemes --markdown`. A scheme says in what small form a weight is kept; its C step is",
        "the nearest weight of that form. *Exact* means that no nearer one exists; ties go to the earlier position.",
        "Bits are what the form stores, positions and books included, for a 256 x 256 matrix of random normal",
        "weights; `model.packed.onnx` comes within a few percent of them. Settings show their defaults, and most",
        "numbers may be a knob (`$NAME`).",
        "",
        "| scheme | what it is | example | bits a weight | exact |",
        "|---|---|---|---|---|",
    ]
    for record in records:
        example = record["example"]
        settings = ", ".join(f"{k}: {_plain(v)}" for k, v in example["settings"].items()) if example else ""
        bits = f"{example['bits_per_weight']:g}" if example else "as its parts" if not record["settings"] else "32"
        told = f"`{record['name']}: {{{settings}}}`" if example else ""
        exact = "yes" if record["exact"] else "no"
        lines.append(f"| [{record['name']}](#{record['name']}) | {record['summary']} | {told} | {bits} | {exact} |")
    for record in records:
        lines += ["", f"## {record['name']}", "", record["about"], ""]
        if record["settings"]:
            lines.append(f"- Settings: {_settings(record)}")
        if record["metrics"]:
            lines.append(f"- Data-aware in the metrics: {', '.join(record['metrics'])}")
        lines += [f"- File: {record['file']}", f"- Speed: {record['speed']}", f"- Source: {record['source']}"]
    return "\n".join(lines) + "\n"
