"""The user's Python in a recipe: sparsity patterns and criteria of its rules, the kernel of its search."""

from __future__ import annotations

from typing import Any

from condensa_core.recipe import PythonSpec, Recipe
from condensa_core.search import MakeKernel, kernel_maker
from condensa_core.search.quiet import quiet
from condensa_core.workload import call_object, load_object
from condensa_core.workload.python_reference import user_code


def own_objects(recipe: Recipe, *, allow_python: bool) -> dict[str, Any]:
    """Patterns by the name they are declared under, criteria by `PythonSpec.key`; WorkloadError where one fails."""
    specs = dict(recipe.patterns)
    for rule in recipe.rules.values():
        for leaf in (leaf for scheme in rule.scheme for _, leaf in scheme.leaves()):
            for value in leaf.settings.values():
                if isinstance(value, PythonSpec):
                    specs[value.key] = value
    found = {}
    for name, spec in specs.items():
        made = load_object(spec.python, recipe.directory, allow_python=allow_python)
        found[name] = call_object(spec.python, made, spec.args, recipe.directory) if spec.args else made
    return found


def own_kernel(recipe: Recipe, *, allow_python: bool) -> str | MakeKernel | None:
    """The kernel of the recipe's search: a name, None where it says nothing, or the user's, tried out once.

    The user's object, or what it returns for `args`, is a gpytorch kernel or makes one from the number of knobs.
    WorkloadError where it fails, UsageError where it makes something else.
    """
    kernel = recipe.search.kernel
    if not isinstance(kernel, PythonSpec):
        return kernel
    with quiet():  # the user's file imports gpytorch, as a rule
        made: MakeKernel = load_object(kernel.python, recipe.directory, allow_python=allow_python)
    if kernel.args:
        made = call_object(kernel.python, made, kernel.args, recipe.directory)
    with user_code(kernel.python):
        kernel_maker(made)(max(len(recipe.knobs), 1))
    return made
