"""From a file, a text or a mapping to a checked recipe: every problem of it at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from condensa_core.errors import Problem, RecipeError, UsageError
from condensa_core.recipe.complaints import known_keys, problem_from
from condensa_core.recipe.cross_checks import CrossChecks
from condensa_core.recipe.document import LARGEST_BYTES, Document, KeyPath, decode, mapping_document, parse
from condensa_core.recipe.expressions import Ref
from condensa_core.recipe.records import KnobSpec, Recipe, RuleSpec, TargetSpec
from condensa_core.recipe.references import References
from condensa_core.recipe.refusals import near, shown
from condensa_core.recipe.vocabulary import (
    DEFAULT_TARGET,
    FORMAT,
    IMPLIED_KNOB,
    IMPLIED_RANGE,
    OBJECTIVES,
)


def read_recipe(path: str | Path) -> Recipe:
    """The recipe in a file. RecipeError holds every problem found; UsageError if the file cannot be opened."""
    directory = Path(path).resolve().parent
    return _recipe(_document_at(path), Path(path).stem, directory, files_in=directory)


def read_recipe_text(text: str, file: str = "recipe.yaml", directory: Path | None = None) -> Recipe:
    """The recipe in a text; `file` stands in places and names a recipe without a name.

    Relative paths in it start from `directory`, the folder of `file` by default.
    """
    return _recipe(parse(text, file), Path(file).stem, directory or Path(file).resolve().parent)


def recipe_from(mapping: Mapping[str, Any]) -> Recipe:
    """The recipe a Python mapping states, under the same checks; places of problems are key paths."""
    return _recipe(mapping_document(mapping), "recipe", None)


def check_recipe(path: str | Path) -> tuple[Problem, ...]:
    """Every error and warning of a recipe file, in file order; UsageError only if the file cannot be opened."""
    return _checked(_document_at(path), Path(path).stem, Path(path).resolve().parent)[1]


def _recipe(document: Document, default_name: str, directory: Path | None, *, files_in: Path | None = None) -> Recipe:
    recipe, problems = _checked(document, default_name, files_in)
    if recipe is None:
        raise RecipeError(problems)
    return recipe.placed(document, problems, directory)


def _document_at(path: str | Path) -> Document:
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)  # `decode` refuses what is longer; a device may have no end
    except FileNotFoundError:
        raise UsageError(f"recipe '{path}' does not exist", hint="write one with: condensa init") from None
    except OSError as error:
        raise UsageError(
            f"recipe '{path}' cannot be read: {error.strerror}", hint="give a recipe file; condensa init writes one"
        ) from error
    except ValueError as error:  # a name with a NUL or half a surrogate pair
        raise UsageError(
            f"{str(path)!r} cannot be the name of a file", hint="give a recipe file; condensa init writes one"
        ) from error
    text = decode(content, str(path))
    if isinstance(text, Problem):
        return Document(str(path), None, {(): text.place}, {}, (text,))
    return parse(text, str(path))


def _checked(document: Document, default_name: str, files_in: Path | None) -> tuple[Recipe | None, tuple[Problem, ...]]:
    """The recipe, or None if it has errors; and all problems in file order.

    Python files must exist in `files_in`; None does not look for them: a recipe kept as text may outlive its files.
    """
    if any(problem.code not in _CONTENT_GOES_ON for problem in document.problems):
        return None, _in_file_order(document.problems)
    unreadable = _not_a_recipe(document)
    if unreadable is not None:
        return None, _in_file_order([*document.problems, unreadable])
    references = References(document)
    data = {"name": _folder_name(default_name), **references.data}
    context: dict[str, Any] = {"sections": {}, "patterns": tuple(_mapping(data.get("patterns")))}
    problems = [*document.problems, *references.problems]
    recipe = None
    try:
        recipe = Recipe.model_validate(data, context=context)
    except ValidationError as error:
        problems += _without_echoes((problem_from(e, document) for e in error.errors(include_url=False)), document)
    problems += CrossChecks(document, context["sections"], references, files_in).problems()
    problems = _without_cascades(problems, document, document.broken | frozenset(references.broken))
    if recipe is None or any(problem.severity == "error" for problem in problems):
        return None, _in_file_order(problems)
    return _completed(recipe), _in_file_order(problems)


# Problems of the text after which the rest of the recipe still makes sense.
_CONTENT_GOES_ON: Final = frozenset({"E002", "E003", "E007"})


def _not_a_recipe(document: Document) -> Problem | None:
    place, data = document.place(()), document.data
    if data is None and () not in document.broken:
        return Problem("E008", "the recipe is empty", place, ("write one with: condensa init",))
    if not isinstance(data, Mapping):
        return Problem("E008", f"a recipe is a mapping of keys, not {shown(data)}", place)
    if "condensa" not in data:
        close = near("condensa", data)
        advice = f"did you mean 'condensa' for '{close}'?" if close else f"write 'condensa: {FORMAT}' on the first line"
        return Problem("E010", f"missing 'condensa: {FORMAT}' (the recipe format version)", place, (advice,))
    version = data["condensa"]
    if type(version) is not int or version != FORMAT:
        found = version if isinstance(version, (int, float, str)) else shown(version)
        message = f"recipe format {str(found)[:40]} is not known; this condensa reads format {FORMAT}"
        path: KeyPath = ("condensa",)
        return Problem("E011", message, document.place(path), (f"write condensa: {FORMAT}",), path)
    return None


def _without_echoes(problems: Iterable[Problem], document: Document) -> Iterable[Problem]:
    """Drop 'missing section' where a misspelling of it is reported as unknown."""
    unknown = [key for key in document.data if key not in known_keys(Recipe)]
    meant = {near(key, known_keys(Recipe)) for key in unknown}
    return [p for p in problems if not (p.code == "E102" and len(p.key_path) == 1 and p.key_path[0] in meant)]


def _without_cascades(problems: Iterable[Problem], document: Document, broken: frozenset[KeyPath]) -> list[Problem]:
    """One error for each value, the first found; nothing about a value that was already refused, or below it."""
    kept, seen = [], set()
    for problem in problems:
        there = document.locate(problem.key_path)
        follows = (
            problem.severity == "error"
            and problem.code not in _FIRST_HAND
            and any(there[:size] in broken for size in range(len(there) + 1))
        )
        mark = problem.place.line, problem.place.column, problem.key_path, problem.severity
        if mark not in seen and not follows:
            seen.add(mark)
            kept.append(problem)
    return kept


# Codes that state a refusal of the value itself, and so are never its consequence.
_FIRST_HAND: Final = frozenset({"E002", "E003", "E007", "E301", "E302", "E303", "E304"})


def _in_file_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda p: (p.place.line, p.place.column, p.severity, p.code)))


def _completed(recipe: Recipe) -> Recipe:
    """The recipe with what it leaves to defaults that depend on other sections: implied knob, target and so on."""
    layers = tuple(_with_implied_knob(rule) for rule in recipe.layers)
    knobs = dict(recipe.knobs)
    if layers != recipe.layers:
        knobs.setdefault(IMPLIED_KNOB, KnobSpec(range=IMPLIED_RANGE))
    targets = recipe.targets or {DEFAULT_TARGET: TargetSpec()}
    objective = recipe.objective
    if objective.on is None and OBJECTIVES[objective.name].on_hardware:
        objective = objective.model_copy(update={"on": next(iter(targets))})
    filled = {"layers": layers, "knobs": knobs, "targets": targets, "objective": objective}
    return recipe.model_copy(update=filled)


def _with_implied_knob(rule: RuleSpec) -> RuleSpec:
    knob = Ref(IMPLIED_KNOB)
    return rule.model_copy(update={"scheme": tuple(scheme.with_implied_knob(knob) for scheme in rule.scheme)})


def _folder_name(text: str) -> str:
    """A file's stem as a recipe name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:100] or "recipe"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
