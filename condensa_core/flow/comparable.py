"""What a run directory says about itself, and what makes the trials in it comparable."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from condensa_core import __version__
from condensa_core.errors import MachineError, ResumeError
from condensa_core.flow.workbench import Workbench
from condensa_core.plain_file import read_plain_text
from condensa_core.recipe import Recipe, read_recipe_text, resolved_yaml
from condensa_core.run_directory import MANIFEST
from condensa_core.whole_file import remedy

RESOLVED = "resolved.yaml"


def manifest_in(path: Path) -> dict[str, Any]:
    """The directory's manifest; ResumeError where it is no JSON object that a run could write again."""
    file = path / MANIFEST
    try:
        head = json.loads(read_plain_text(file))
        json.dumps(head, ensure_ascii=False, allow_nan=False).encode()  # 1e999 and half characters are read gladly
    except PermissionError as err:
        raise MachineError(f"cannot read {file}: {err.strerror}", hint=remedy(err)) from err
    except (OSError, ValueError, RecursionError) as err:
        raise ResumeError(f"{file} cannot be read; start a new run") from err
    if not isinstance(head, dict):
        raise ResumeError(f"{file} is damaged; start a new run")
    return head


def head_of(path: Path) -> dict[str, Any]:
    """What the run directory's manifest says; ResumeError where that is not what a run writes into it."""
    head = manifest_in(path)
    texts = ("recipe_directory", "recipe_name", "condensa")
    whole = isinstance(head.get("hashes"), dict)
    if not (whole and all(isinstance(head.get(key), str) and "\0" not in head[key] for key in texts)):
        raise ResumeError(f"{path / MANIFEST} is damaged; start a new run")
    return head


def recipe_in(path: Path) -> Recipe:
    """The recipe that the run directory was made for; ResumeError where it is not there whole, MachineError where the
    disk does not let it be read."""
    try:
        text = read_plain_text(path / RESOLVED)
        origin = Path(head_of(path)["recipe_directory"])
    except PermissionError as err:
        raise MachineError(f"cannot read {err.filename}: {err.strerror}", hint=remedy(err)) from err
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise ResumeError(f"{path} was stopped before it began, or is damaged; start a new run") from err
    return read_recipe_text(text, str(path / RESOLVED), origin)


def fingerprint(bench: Workbench) -> str:
    """All that makes two trials comparable: recipe and the rules of it that apply, data, reference weights, version.

    How many trials run at once is no part of it, so a run may go on with another number.
    """
    recipe = with_parallel(bench.recipe, 1)
    parts = [resolved_yaml(recipe), bench.splits.fingerprint, bench.reference.sha256, __version__]
    parts += [f"without {', '.join(map(str, recipe.left_out))}"] if recipe.left_out else []
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def with_parallel(recipe: Recipe, parallel: int) -> Recipe:
    """The recipe with so many trials at once."""
    return recipe.model_copy(update={"search": recipe.search.model_copy(update={"parallel": parallel})})
