"""The user's Python in the rules of a recipe: sparsity patterns and criteria."""

from __future__ import annotations

from typing import Any

from condensa_core.recipe import PythonSpec, Recipe
from condensa_core.workload import call_object, load_object


def own_objects(recipe: Recipe, *, allow_python: bool) -> dict[str, Any]:
    """Patterns by the name they are declared under, criteria by `PythonSpec.key`; WorkloadError where one fails."""
    specs = dict(recipe.patterns)
    for rule in recipe.layers:
        for leaf in (leaf for scheme in rule.scheme for _, leaf in scheme.leaves()):
            for value in leaf.settings.values():
                if isinstance(value, PythonSpec):
                    specs[value.key] = value
    found = {}
    for name, spec in specs.items():
        made = load_object(spec.python, recipe.directory, allow_python=allow_python)
        found[name] = call_object(spec.python, made, spec.args, recipe.directory) if spec.args else made
    return found
