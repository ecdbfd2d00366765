"""docs/search.md and the README say of the search what is true: their code runs, their tables are complete."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from condensa_core.recipe import recipe_from
from condensa_core.recipe.document import parse
from condensa_core.search import KERNELS, METHODS, PRIORS, SETTINGS
from condensa_core.search.quiet import quiet

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, flags=re.DOTALL)


def rows():
    """Per method its settings, as the table of strategies has them."""
    for line in TEXT.split("## Strategies")[1].split("\n\n")[1].splitlines()[2:]:
        cells = re.split(r"(?<!\\)\|", line)
        for method in re.findall(r"`([^`]+)`", cells[1]):
            yield method, set(re.findall(r"`([^`]+)`", cells[3]))


def test_the_table_has_every_strategy_with_its_settings():
    assert dict(rows()) == {name: set(SETTINGS[name]) for name in METHODS}


def test_every_kernel_and_prior_is_explained():
    about = TEXT.split("## Kernels")[1].split("\n## ")[0]

    assert all(f"`{word}`" in about for word in (*KERNELS, *PRIORS))


def test_the_examples_run_and_find_the_level():
    names: dict[str, object] = {}
    with quiet():
        import gpytorch  # noqa: F401  # complains of torch while it is imported, here by the example

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        for language, code in BLOCKS:
            if language == "python":
                exec(compile(code, "search.md", "exec"), names)

    found = names["found"]
    best = max(s.value for s in names["profile"].settings if names["accuracy"](s.value) >= 0.92)
    # the stop rule leaves what would gain less than 1 %, in expectation
    assert found.feasible and found.point["sparsity"] <= best
    assert names["speed"](found.point["sparsity"]) >= 0.95 * names["speed"](best)
    assert "sparsity" in printed.getvalue()
    assert 0 < len(names["search"].observations) <= 5
    smallest = names["smallest"]
    assert smallest.feasible and names["trained"](smallest.point) >= 0.92
    assert names["size"](smallest.point) < 0.95 * names["size"]({"early": 0.7, "late": 0.5, "bits": 16})


def recipes():
    """The parts of recipes: of several knobs, then of the section search."""
    several, search = [parse(code, "search.md").data for language, code in BLOCKS if language == "yaml"]
    return several, search


def test_the_recipe_of_several_knobs_reads_as_it_is_written():
    several, _ = recipes()

    recipe = recipe_from(
        {
            "condensa": 1, "name": "digits", "model": {"builtin": "small-cnn"}, "data": {"builtin": "digits"},
            "constraint": {"metric": "top1", "max_drop": "2pp"}, "objective": {"maximize": "throughput"}, **several,
        }
    )  # fmt: skip

    assert {knob for rule in recipe.layers for scheme in rule.scheme for knob in scheme.knobs} == set(recipe.knobs)


def test_the_recipe_reads_as_it_is_written():
    section = recipes()[1]["search"]

    recipe = recipe_from(
        {
            "condensa": 1, "name": "digits", "model": {"builtin": "small-cnn"}, "data": {"builtin": "digits"},
            "layers": [{"match": "all", "scheme": {"filter": {}}}], "search": section,
            "constraint": {"metric": "top1", "max_drop": "2pp"}, "objective": {"maximize": "throughput"},
        }
    )  # fmt: skip

    assert recipe.search.noise_sd(0.9) == pytest.approx(0.002)
    assert recipe.search.return_.clear_sd == 2


def test_the_readme_searches_a_plain_function():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", readme.split("## The search on its own")[1], flags=re.DOTALL)[0]
    names: dict[str, object] = {}

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "README.md", "exec"), names)

    found = names["found"]
    crossing = (0.01 / 0.83) ** (1 / 16)
    assert "meets 0.92 at 0.759" in code and round(crossing, 3) == 0.759
    assert found.feasible and 0.95 * crossing < found.point["sparsity"] <= crossing
    assert 4 <= found.trials <= 8
    assert "sparsity" in printed.getvalue()
