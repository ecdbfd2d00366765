"""A share of the mutated recipes of benchmarks/fuzz, as many as fit into a few seconds, and what the long run found."""

import json
import time

import pytest
from fuzzing import SEED, draw_of, run_here

from condensa_core.errors import RecipeError
from condensa_core.recipe import check_recipe, recipe_from
from recipes import RECIPES

SHARE_S = 3.0
FIRST = 10**6  # beyond the cases of the long run: other ones every time that one grows

MINIMAL = """\
condensa: 1
model: {builtin: small-cnn}
data: {builtin: digits}
layers: [{match: all, scheme: {filter: {}}}]
constraint: {metric: top1, max_drop: 2pp}
objective: {maximize: throughput}
"""


def test_no_mutated_recipe_makes_check_stumble(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    RECIPES.prepare(tmp_path)
    until = time.monotonic() + SHARE_S
    done = 0

    while time.monotonic() < until:
        record = run_here(RECIPES, FIRST + done, tmp_path)
        assert not record.failure, f"case {FIRST + done} of seed {SEED}, {record.mutation}: {record.failure}"
        done += 1

    assert done > 20


def test_a_case_is_made_from_its_number_alone(tmp_path):
    names = [RECIPES.case(draw_of(RECIPES, 11), tmp_path)[0] for _ in range(2)]
    first, second = (
        (RECIPES.case(draw_of(RECIPES, n), tmp_path), (tmp_path / "recipe.yaml").read_bytes())[1] for n in (11, 11)
    )

    assert names[0] == names[1] and first == second


def problems(tmp_path, text):
    file = tmp_path / "r.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [(problem.code, problem.message) for problem in check_recipe(file)]


@pytest.mark.parametrize("escape", ["\\ud800", "\\0", "\\x1b[2J", "\\u202e", "\\x9b"])
def test_an_escape_is_no_way_around_a_character_that_is_not_allowed(tmp_path, escape):
    (problem,) = problems(tmp_path, MINIMAL.replace("digits", f'"{escape}"'))

    assert problem[0] == "E009" and "is not allowed in a recipe" in problem[1]


def test_text_that_is_shown_in_another_order_than_it_is_read_is_refused(tmp_path):
    (problem,) = problems(tmp_path, MINIMAL + "# \u202ediork\n")

    assert problem == ("E009", "character U+202E is not allowed in a recipe")


@pytest.mark.parametrize("where", ["key", "value"])
def test_a_python_mapping_holds_no_half_characters(where):
    recipe = {"condensa": 1, "name": "\ud800"} if where == "value" else {"condensa": 1, "\ud800": 1}

    with pytest.raises(RecipeError, match=r"U\+D800 is not allowed"):
        recipe_from(recipe)


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"k{i}: {i}\n" for i in range(10_000)),  # each an unknown key
        "layers: [" + "{mach: x}, " * 10_000 + "]\n",
        "x: [" + "a, " * 50_000 + "a]\n",
        "vars: {" + ", ".join(f"k{i}: {i}" for i in range(9_000)) + "}\n",
    ],
)
def test_a_file_of_very_many_values_is_refused_at_once(tmp_path, text):
    begun = time.process_time()

    (problem,) = problems(tmp_path, MINIMAL + text)

    assert problem == ("E009", "more than 3000 keys and values")
    assert time.process_time() - begun < 1.0


BOMB = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (MINIMAL + BOMB, "E005"),
        ("x: " + "[" * 10_000, "E009"),
        ("x: " + "{a: " * 10_000, "E009"),
        ("\n".join(" " * i + "a:" for i in range(400)), "E009"),
        (b"name: " + b"x" * 100_000_000, "E009"),
        (MINIMAL + "name: !!python/object/apply:os.system ['touch owned']\n", "E002"),
        (MINIMAL + "name: !!python/name:os.system\n", "E002"),
    ],
    ids=["aliases", "deep lists", "deep mappings", "deep blocks", "100 MB", "python object", "python name"],
)
def test_a_bomb_is_refused_at_once_and_runs_nothing(tmp_path, monkeypatch, text, code):
    monkeypatch.chdir(tmp_path)
    begun = time.process_time()

    found = problems(tmp_path, text)

    assert code in {each[0] for each in found}
    assert time.process_time() - begun < 2.0
    assert [path.name for path in tmp_path.iterdir()] == ["r.yaml"]


def test_a_mistake_in_a_line_of_100_kb_shows_a_part_of_it(tmp_path, capsys):
    from condensa_cli.app import exit_code_of

    (tmp_path / "r.yaml").write_text(MINIMAL + "description: '" + "x" * 100_000 + "', y: 1\nz: 1\n", encoding="utf-8")
    (tmp_path / "s.yaml").write_text("{condensa: 1, a: '" + "x" * 100_000 + "', b: 1}", encoding="utf-8")

    for name in ("r.yaml", "s.yaml"):
        assert exit_code_of(["check", str(tmp_path / name)]) == 2
        assert len(capsys.readouterr().out) < 10_000


def test_annotations_for_github_hold_no_control_characters(tmp_path, capsys):
    from condensa_cli.app import exit_code_of

    (tmp_path / "r.yaml").write_text(MINIMAL + "'a\u200bb': 1\n", encoding="utf-8")

    assert exit_code_of(["check", "--format", "github", str(tmp_path / "r.yaml")]) == 2
    assert "\u200b" not in capsys.readouterr().out


def test_the_json_of_a_mutated_recipe_is_json(tmp_path, capsys):
    from condensa_cli.app import exit_code_of

    (tmp_path / "r.yaml").write_bytes(b"\xff\xfe")

    assert exit_code_of(["check", "--json", str(tmp_path / "r.yaml")]) == 2
    assert json.loads(capsys.readouterr().out)["exit_code"] == 2
