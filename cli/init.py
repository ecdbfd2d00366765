"""`condensa init [TEMPLATE]`: a commented recipe to start from."""

from __future__ import annotations

import re
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from condensa_core.errors import MachineError, UsageError

from .console import say, show
from .exit_codes import OK
from .paths import is_file, is_folder

DEFAULT_TEMPLATE = "digits-filters"


def init(
    template: Annotated[str, typer.Argument(help="The recipe to start from; --list names them.")] = DEFAULT_TEMPLATE,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where to write it [default: TEMPLATE.yaml].", show_default=False)
    ] = None,
    list_templates: Annotated[bool, typer.Option("--list", help="List the templates and write nothing.")] = False,
) -> int:
    """Write a commented recipe to start from.

    An existing file is never overwritten; folders on the way to a new one are made.
    """
    texts = templates()
    if list_templates:
        show(*(f"{name:<28} {_first_sentence(text)}".rstrip() for name, text in texts.items()))
        return OK
    name = template.removesuffix(".yaml")
    if name not in texts:
        near = get_close_matches(name, texts, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"the templates are {', '.join(texts)}"
        raise UsageError(f"there is no template '{template}'", hint=hint)
    target = out or Path(f"{name}.yaml")
    if is_folder(target):
        raise UsageError(f"{target} is a folder", hint=f"name the file: --out {target / f'{name}.yaml'}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as file:
            file.write(texts[name])
    except (FileExistsError, NotADirectoryError):
        in_the_way = next((folder for folder in target.parents if is_file(folder)), None)
        if in_the_way:
            raise UsageError(
                f"{target} cannot be written: {in_the_way} is no folder",
                hint="name a file in a folder, or in one that can be made",
            ) from None
        raise UsageError(f"{target} exists and is kept", hint="choose another file with --out") from None
    except OSError as err:
        raise MachineError(
            f"{target} cannot be written: {err.strerror}", hint="choose a place that can be written with --out"
        ) from err
    show(str(target))
    say(f"next: condensa plan {target}", f"then: condensa run {target}")
    return OK


def templates() -> dict[str, str]:
    """The recipes that are shipped, by name."""
    found = {
        item.name.removesuffix(".yaml"): item.read_text(encoding="utf-8")
        for item in files("condensa_recipes").iterdir()
        if item.name.endswith(".yaml")
    }
    return dict(sorted(found.items()))


def _first_sentence(text: str) -> str:
    """What a recipe says of itself in its first comment that is no editor directive."""
    lines = (line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#"))
    comment = " ".join(line for line in lines if "yaml-language-server" not in line)
    sentence = re.match(r".*?[.?!](?= |$)", comment)
    return sentence[0] if sentence else comment
