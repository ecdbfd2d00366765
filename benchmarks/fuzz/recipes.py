"""Target: mutated recipes through `condensa check`, in each of its formats."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

from commands import judged
from fuzzing import Failure, Target
from recipe_mutations import mutated_recipe

_FORMATS: Final = ((), ("--json",), ("--format", "github"), ("--quiet",))


def _prepare(folder: Path) -> None:
    os.environ["NO_COLOR"] = "1"
    import condensa_core.recipe  # noqa: F401 - loading it is no case's time


def _case(draw: random.Random, folder: Path) -> tuple[str, Callable[[], str]]:
    name, content = mutated_recipe(draw)
    path = folder / "recipe.yaml"
    path.write_bytes(content)
    form = draw.choice(_FORMATS)

    def run() -> str:
        before = {entry.name for entry in folder.iterdir()}
        outcome = judged(["check", str(path), *form], allowed=(0, 2))
        if {entry.name for entry in folder.iterdir()} != before:
            raise Failure("wrote a file")
        return outcome

    return name, run


RECIPES: Final = Target(
    "recipes", "condensa check RECIPE", 100_000, limit_s=20.0, memory_bytes=2**30, prepare=_prepare, case=_case
)
