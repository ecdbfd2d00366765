"""The outcome as one HTML file that needs nothing else: no script, no link, pictures inside, every text escaped."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from condensa_core.errors import MachineError, ResumeError
from condensa_core.plain_file import path_below, read_plain
from condensa_core.report.escaped import escaped
from condensa_core.report.outcome import Outcome
from condensa_core.report.quantities import duration_text
from condensa_core.report.tables import Table, tables
from condensa_core.report.verdict import verdict
from condensa_core.whole_file import remedy, replacing

_WHOLE: Final = {"front.svg": "front", "search.svg": "search"}
_OF_TRIALS: Final = "trials/*/posterior.svg"
_LARGEST_PICTURE: Final = 16 << 20  # bytes
_STYLE: Final = """
body { font: 15px/1.45 sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
pre { background: #f5f5f2; padding: 1rem; overflow-x: auto; white-space: pre-wrap; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .2rem .9rem .2rem 0; vertical-align: top; }
th { color: #666; font-weight: normal; border-bottom: 1px solid #ccc; }
img { max-width: 100%; border: 1px solid #eee; } .ok { color: #00694d; } .not { color: #b34700; }
""".strip()


@dataclass(frozen=True)
class Picture:
    """An SVG document under a title."""

    title: str
    svg: bytes


def html_report(outcome: Outcome, pictures: Sequence[Picture] = ()) -> str:
    """The page: final statement, pictures (the first open, the others folded), every table, machine and versions.

    Pictures are data URIs of images, in which a browser runs nothing and loads nothing.
    """
    title = escaped(f"condensa: {outcome.name}" if outcome.name else "condensa")
    state = "ok" if outcome.exit_code == 0 else "not"
    first, *rest = verdict(outcome).splitlines()
    body = [
        f"<h1>{title}</h1>",
        f'<p class="{state}"><strong>{escaped(first)}</strong></p>',
        f"<pre>{escaped(chr(10).join(line.removeprefix('  ') for line in rest))}</pre>",
    ]
    if pictures:
        body += ["<h2>search</h2>", _image(pictures[0])]
        body += [
            f"<details><summary>{escaped(picture.title)}</summary>{_image(picture)}</details>"
            for picture in pictures[1:]
        ]
    for table in (*tables(outcome), *_surroundings(outcome)):
        body += [f"<h2>{escaped(table.title)}</h2>", _table(table)]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            f'<head><meta charset="utf-8"/><title>{title}</title><style>\n{_STYLE}\n</style></head>',
            "<body>",
            *body,
            "</body>",
            "</html>",
            "",
        ]
    )


def write_html_report(file: Path, outcome: Outcome, run_dir: Path) -> None:
    """The page of an outcome with the pictures of its run directory, whole or not at all; MachineError if it cannot."""
    page = html_report(outcome, pictures_of(run_dir))
    try:
        with replacing(file) as partial:
            partial.write_text(page, encoding="utf-8")
    except OSError as err:
        raise MachineError(f"cannot write {file}: {err.strerror or err}", hint=remedy(err)) from err


def pictures_of(run_dir: Path) -> list[Picture]:
    """The front of a run and the latest picture of its search, then one for each trial; those that cannot be read
    or lie elsewhere, behind a link, are left out."""
    found = []
    for path in (*(run_dir / name for name in _WHOLE), *sorted(run_dir.glob(_OF_TRIALS))):
        title = _WHOLE.get(path.name, f"after trial {path.parent.name.lstrip('0') or '0'}")
        try:
            inside = path_below(run_dir, str(path.relative_to(run_dir)))
            found.append(Picture(title, read_plain(inside, _LARGEST_PICTURE)))
        except (OSError, ResumeError):
            continue
    return found


def _image(picture: Picture) -> str:
    encoded = base64.b64encode(picture.svg).decode()
    return f'<img alt="{escaped(picture.title)}" src="data:image/svg+xml;base64,{encoded}"/>'


def _table(table: Table) -> str:
    head = "".join(f"<th>{escaped(column)}</th>" for column in table.columns)
    rows = "\n".join("<tr>" + "".join(f"<td>{escaped(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"


def _fact(value: object) -> str:
    """A value of the result in words: lists by commas, mappings as `name value`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_fact(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_fact, value))
    return "-" if value is None else str(value)


def _surroundings(outcome: Outcome) -> list[Table]:
    """Where and with what it was found."""
    timings = {name.replace("_", " "): duration_text(seconds) for name, seconds in outcome.timings_s.items()}
    found: tuple[tuple[str, Mapping[str, object]], ...] = (
        ("run", {"recipe sha256": outcome.recipe_hash, "seed": outcome.seed, **timings}),
        ("machine", outcome.machine),
        ("versions", outcome.versions),
    )
    return [
        Table(title, ("", ""), tuple((name.replace("_", " "), _fact(value)) for name, value in facts.items()))
        for title, facts in found
        if facts
    ]
