"""A recipe on one platform: rules whose conditions do not hold there are left out, as if they were not written."""

from __future__ import annotations

from condensa_core.errors import MachineError, RecipeError
from condensa_core.platforms import Platform
from condensa_core.recipe.conditions import Answer, answer
from condensa_core.recipe.knob_checks import search_problems
from condensa_core.recipe.records import Recipe
from condensa_core.recipe.target_checks import integer_problems


def answers(recipe: Recipe, platform: Platform) -> dict[int, Answer]:
    """The platform's answer to each rule that has a condition, by the rule's position in `layers`."""
    return {number: answer(rule.when, platform) for number, rule in enumerate(recipe.layers) if rule.when is not None}


def applied_on(recipe: Recipe, platform: Platform) -> Recipe:
    """The recipe with `left_out` as this platform answers; itself where no rule has a condition.

    MachineError if no rule is left; RecipeError if the search does not fit the number of knobs that are, or a target
    would be given integers it does not compute in.
    """
    found = answers(recipe, platform)
    if not found:
        return recipe
    applied = recipe.leaving_out({number: given.reason for number, given in found.items() if not given.holds})
    if not applied.rules:
        raise MachineError(
            f"no rule of this recipe applies here: {'; '.join(applied.left_out_texts)}",
            hint="run it where one does, or add a rule without 'when'",
        )
    problems = (
        *search_problems(applied.rules, recipe.search, applied.place_of),
        *integer_problems(
            applied.rules.values(), recipe.objective, recipe.targets, recipe.gates, recipe.output, applied.place_of
        ),
    )
    if problems:
        raise RecipeError(problems)
    return applied
