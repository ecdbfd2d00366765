"""The conditions of a recipe's rules, answered by this machine once for a run, and found the same when it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from condensa_core.engines import capability_text
from condensa_core.errors import ResumeError
from condensa_core.flow.objective import Objective
from condensa_core.flow.targets import capabilities_of
from condensa_core.plain_file import read_plain_text
from condensa_core.platforms import Platform
from condensa_core.recipe import Recipe, answers, applied_on
from condensa_core.run_directory import MANIFEST

PLATFORM: Final = "platform"  # the key in the manifest


def platform_of(recipe: Recipe) -> Platform:
    """This machine as the target of the recipe's objective names it, or the GPUs that this target is built for."""
    objective = Objective.of(recipe)
    spec = recipe.targets.get(objective.target_name)
    arch = () if spec is None else capabilities_of(spec)
    return Platform.here(objective.target.backend, objective.target.device, objective.target_name, arch)


def applied_here(recipe: Recipe) -> Recipe:
    """The recipe without the rules whose conditions do not hold here; errors as of `applied_on`."""
    return applied_on(recipe, platform_of(recipe)) if _asks(recipe) else recipe


def left_out_rows(recipe: Recipe) -> list[dict[str, Any]]:
    """The rules that were left out as plain data: position, line, selectors, reason."""
    return [
        {
            "rule": number,
            "line": recipe.place_of(("layers", number, "match")).line or None,
            "match": ", ".join(recipe.layers[number].match),
            "reason": reason,
        }
        for number, reason in recipe.left_out.items()
    ]


def answers_record(recipe: Recipe) -> dict[str, Any]:
    """What the manifest keeps of a recipe with conditions: the platform, and its answer to each; else nothing."""
    if not _asks(recipe):
        return {}
    platform = platform_of(recipe)
    rules = [
        {"rule": number, "applies": a.holds, "reason": a.reason} for number, a in answers(recipe, platform).items()
    ]
    told = {
        "target": platform.target,
        "runtime": platform.runtime,
        "device": platform.device,
        "arch": list(map(capability_text, platform.arch)),
        "hardware": platform.hardware,
        "features": list(platform.features),
    }
    return {PLATFORM: {**told, "rules": rules}}


def require_same_answers(folder: Path, recipe: Recipe) -> None:
    """ResumeError, naming each rule, where this machine answers otherwise than the one on which the run began."""
    if not _asks(recipe):
        return
    try:
        kept = json.loads(read_plain_text(folder / MANIFEST))[PLATFORM]
        then = {given["rule"]: (given["applies"], given["reason"]) for given in kept["rules"]}
        began = str(kept["hardware"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as err:
        raise ResumeError(f"{folder / MANIFEST} does not tell which rules apply; start a new run") from err
    differences = []
    for number, now in answers(recipe, platform_of(recipe)).items():
        applied, reason = then.get(number, (None, "it was not asked"))
        if now.holds and not applied:
            differences.append(f"the rule on {recipe.rule_text(number)} applies here, and did not there: {reason}")
        elif applied and not now.holds:
            differences.append(f"the rule on {recipe.rule_text(number)} applied there, and here not: {now.reason}")
    if differences:
        raise ResumeError(
            f"this run began on another machine ({began}): {'; '.join(differences)}",
            hint="continue it on one like that, or start a new run here",
        )


def _asks(recipe: Recipe) -> bool:
    return any(rule.when is not None for rule in recipe.layers)
