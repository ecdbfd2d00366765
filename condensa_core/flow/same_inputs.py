"""What a run was begun with, and whether it is the same when it goes on: recipe, the user's Python, data, weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from condensa_core.errors import ResumeError
from condensa_core.flow.comparable import manifest_in
from condensa_core.progress import Listener, Note
from condensa_core.recipe import PythonSpec, Recipe
from condensa_core.run_directory import MANIFEST, file_sha256, versions
from condensa_core.workload import package_of, sources_of
from condensa_core.workload.some_outputs import same_outputs

PYTHON: Final = "python"  # the keys in the manifest
PACKAGES: Final = "packages"
OUTPUTS: Final = "outputs"
_START_ANEW: Final = "restore it, or start a new run"


def python_record(recipe: Recipe) -> dict[str, dict[str, str]]:
    """What the manifest keeps of the user's Python, of which nothing is run: the SHA-256 of every file by its path, and
    the versions of packages that the recipe names.

    Paths are relative to the recipe's folder where they lie in it.
    """
    found = {_named(path, recipe.directory): file_sha256(path) for path in python_files(recipe)}
    return {PYTHON: dict(sorted(found.items())), PACKAGES: _packages(recipe)}


def python_files(recipe: Recipe) -> frozenset[Path]:
    """Every file of the user's Python that the recipe names or that such a file imports."""
    return frozenset(path for reference in _references(recipe) for path in sources_of(reference, recipe.directory))


def require_same_begin(folder: Path, recipe: Recipe, recipe_sha256: str, listener: Listener) -> None:
    """ResumeError, naming each file and both hashes, where the resolved recipe or the user's Python has changed since
    the run in `folder` began; a warning where packages have other versions.

    To be asked before any of the Python runs.
    """
    began, packages = _kept(folder, "hashes").get("recipe", recipe_sha256), _kept(folder, "versions")
    if began != recipe_sha256 and packages.get("condensa-cli") == versions()["condensa-cli"]:
        raise ResumeError(
            f"the recipe in {folder} has changed: its hash was {began[:12]}, now it is {recipe_sha256[:12]}",
            hint="resolved.yaml belongs to the run: restore it, or start a new run with the changed recipe",
        )
    now = python_record(recipe)[PYTHON]
    then = _kept(folder, PYTHON)
    changes = [_change(name, then[name], _hash_now(name, now, recipe.directory), recipe.directory) for name in then]
    if then:  # a file that came to lie beside the recipe hides what was imported before
        changes += [f"{name} is new, and would be imported" for name in now if name not in then]
    if any(changes):
        raise ResumeError(
            f"the Python of this run has changed since it began: {'; '.join(filter(None, changes))}", hint=_START_ANEW
        )
    others = _other_versions(packages, versions()) + _other_versions(_kept(folder, PACKAGES), _packages(recipe))
    if others:
        listener(Note(f"this run began with other versions: {', '.join(others)}", level="warning"))


def require_same_found(folder: Path, found: Mapping[str, str]) -> None:
    """ResumeError, with both hashes, where data or weights are no longer those of the run in `folder`.

    `found` has their hashes, by what the manifest calls them; one that the manifest lacks is new.
    """
    began = _kept(folder, "hashes")
    words = {"data": "the data", "reference": "the reference's weights"}
    changed = [
        f"{words.get(name, name)}: the hash was {began[name][:12]}, now it is {now[:12]}"
        for name, now in found.items()
        if began.get(name, now) != now
    ]
    if changed:
        drawn = "data" in found and began.get("data", found["data"]) != found["data"]
        hint = f"{_START_ANEW}; if nobody changed the data, code that makes it draws numbers without a seed"
        raise ResumeError(
            f"this run began with something else: {'; '.join(changed)}", hint=hint if drawn else _START_ANEW
        )


def require_same_outputs(folder: Path, found: Sequence[float]) -> None:
    """ResumeError where the reference computes something else for the same samples than when the run began."""
    then = manifest_in(folder).get(OUTPUTS, [])
    if not isinstance(then, list) or not all(isinstance(number, float) for number in then):
        raise ResumeError(f"{folder / MANIFEST} is damaged; start a new run")
    if not same_outputs(then, found):
        raise ResumeError(
            "the model computes something else than when this run began, of the same samples and weights",
            hint=f"a file that its code reads, or imports by a name made up while it runs, has changed: {_START_ANEW}",
        )


def _kept(folder: Path, key: str) -> Mapping[str, str]:
    """Texts by name under a key of the manifest, empty where it has none; ResumeError where it is damaged."""
    try:
        found = manifest_in(folder).get(key, {})
        return {str(name): str(value) for name, value in found.items() if value is not None}
    except AttributeError as err:
        raise ResumeError(f"{folder / MANIFEST} is damaged; start a new run") from err


def _references(recipe: Recipe) -> Iterator[str]:
    if recipe.model.python is not None:
        yield recipe.model.python
    parts = (recipe.data.train, recipe.data.val, recipe.data.test, recipe.data.calib)
    yield from (part.python for part in parts if part is not None)
    yield from (pattern.python for pattern in recipe.patterns.values())
    if isinstance(recipe.search.kernel, PythonSpec):
        yield recipe.search.kernel.python
    for rule in recipe.rules.values():
        for leaf in (leaf for scheme in rule.scheme for _, leaf in scheme.leaves()):
            yield from (value.python for value in leaf.settings.values() if isinstance(value, PythonSpec))


def _named(path: Path, directory: Path) -> str:
    root = directory.resolve()
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _hash_now(name: str, now: Mapping[str, str], directory: Path) -> str | None:
    """Also of a file that is no longer imported; None where it is gone."""
    path = directory / name
    return now.get(name) or (file_sha256(path) if path.is_file() else None)


def _change(name: str, then: str, now: str | None, directory: Path) -> str:
    if now is None:
        return f"{name} is gone (looked for {directory / name})"
    return "" if now == then else f"{name} (its hash was {then[:12]}, now it is {now[:12]})"


def _packages(recipe: Recipe) -> dict[str, str]:
    found: dict[str, str] = {}
    for reference in _references(recipe):
        found |= package_of(reference, recipe.directory)
    return dict(sorted(found.items()))


def _other_versions(then: Mapping[str, str], now: Mapping[str, str | None]) -> list[str]:
    """Packages that a run had or has and whose versions differ; none where the manifest tells of no versions."""
    pairs = [(name, then.get(name), now.get(name)) for name in {**then, **now}] if then else []
    return [f"{name} {was or 'missing'}, now {is_now or 'missing'}" for name, was, is_now in pairs if was != is_now]
