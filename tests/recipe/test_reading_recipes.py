"""From text to a recipe: defaults, places, the Python interface, hostile input."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from condensa_core.errors import RecipeError, UsageError
from condensa_core.recipe import Ref, check_recipe, read_recipe, read_recipe_text, recipe_from
from condensa_core.recipe.document import parse

MINIMAL = """\
condensa: 1
name: digits-filters
model: {builtin: small-cnn}
data: {builtin: digits}
layers:
  - match: all
    scheme: {filter: {}}
constraint: {metric: top1, max_drop: 2pp}
objective: {maximize: throughput}
"""


def codes(text):
    with pytest.raises(RecipeError) as refused:
        read_recipe_text(text)
    return [(problem.code, problem.place.line, problem.place.column) for problem in refused.value.problems]


def test_a_minimal_recipe_gets_one_knob_one_target_and_where_to_measure():
    recipe = read_recipe_text(MINIMAL)

    assert recipe.knobs["sparsity"].range == (0.0, 0.95)
    assert recipe.layers[0].scheme[0].settings == {
        "sparsity": Ref("sparsity"),
        "align": 1,
        "criterion": "l2",
        "norm": "scaled",
    }
    target = recipe.targets["cpu"]
    assert (target.backend, target.device, target.precision, target.batch, target.threads) == (
        "onnxruntime",
        "cpu",
        "fp32",
        32,
        1,
    )
    assert (recipe.objective.direction, recipe.objective.name, recipe.objective.on) == ("maximize", "throughput", "cpu")
    assert (recipe.search.method, recipe.search.trials, recipe.search.return_.probability) == ("level-set", 10, 0.7)
    assert recipe.output.dir == "runs"
    assert recipe.compress.method == "lc"
    assert recipe.compress.steps is recipe.compress.mu is recipe.compress.l_step is recipe.compress.finetune is None


def test_a_sparsity_left_out_is_the_declared_knob_of_that_name():
    text = MINIMAL.replace("model:", "knobs: {sparsity: {range: [0.2, 0.6]}}\nmodel:")

    recipe = read_recipe_text(text)

    assert recipe.knobs["sparsity"].range == (0.2, 0.6)
    assert recipe.layers[0].scheme[0].settings["sparsity"] == Ref("sparsity")
    assert recipe.problems == ()


def test_importing_the_room_loads_no_torch_and_checking_runs_no_user_code(tmp_path):
    (tmp_path / "models.py").write_text("raise SystemExit('imported')\n")
    recipe = tmp_path / "own.yaml"
    recipe.write_text(MINIMAL.replace("builtin: small-cnn", "python: models.py:net"))
    code = f"""
import sys
from condensa_core.recipe import check_recipe, read_recipe, recipe_schema, resolved_yaml
assert check_recipe({str(recipe)!r}) == ()
resolved_yaml(read_recipe({str(recipe)!r})), recipe_schema()
print([name for name in ("torch", "numpy", "onnx", "botorch", "rich") if name in sys.modules])
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]", "")


def test_places_point_into_the_file(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(MINIMAL)

    recipe = read_recipe(file)

    match = recipe.place("layers", 0, "match", 0)  # written as one value, read as a list of one
    assert (match.file, match.line, match.column, match.source, match.width) == (str(file), 6, 12, "  - match: all", 3)
    assert recipe.place("layers", 0, "scheme", 0, "filter", "sparsity").line == 7  # left out: what encloses it
    assert recipe.place("output", "dir").line == 1
    assert recipe.directory == tmp_path


def test_a_recipe_without_a_name_has_that_of_its_file(tmp_path):
    file = tmp_path / "my best one!.yaml"
    file.write_text(MINIMAL.replace("name: digits-filters\n", ""))

    assert read_recipe(file).name == "my-best-one"
    assert read_recipe_text(file.read_text()).name == "recipe"


def test_python_states_the_same_recipe_with_key_paths_as_places():
    mapping = {
        "condensa": 1,
        "name": "digits-filters",
        "model": {"builtin": "small-cnn"},
        "data": {"builtin": "digits"},
        "layers": [{"match": "all", "scheme": {"filter": {}}}],
        "constraint": {"metric": "top1", "max_drop": "2pp"},
        "objective": {"maximize": "throughput"},
    }

    assert recipe_from(mapping) == read_recipe_text(MINIMAL)

    mapping["layers"][0]["scheme"]["filter"]["sparsity"] = 70
    with pytest.raises(RecipeError) as refused:
        recipe_from(mapping)
    assert str(refused.value) == "layers[0].scheme.filter.sparsity: error[E222]: sparsity 70 is outside [0, 1)"


def test_vars_are_replaced_and_arithmetic_is_done():
    text = MINIMAL.replace("model:", "vars: {keep: 0.25, tries: 5, where: all}\nmodel:")
    text = text.replace("match: all", "match: $where").replace("filter: {}", "filter: {sparsity: $(1 - keep)}")
    text += "search: {method: none, trials: $(2 * tries + 1)}\n"

    recipe = read_recipe_text(text)

    assert recipe.layers[0].scheme[0].settings["sparsity"] == 0.75
    assert recipe.layers[0].match == ("all",)
    assert recipe.search.trials == 11
    assert recipe.knobs == {}


def test_knobs_stay_as_references_with_vars_put_in():
    text = MINIMAL.replace("model:", "vars: {top: 0.9}\nknobs: {k: {range: [0.0, 0.5]}}\nmodel:")
    text = text.replace("filter: {}", "filter: {sparsity: $(top - k)}")

    sparsity = read_recipe_text(text).layers[0].scheme[0].settings["sparsity"]

    assert sparsity.names == {"k"}
    assert sparsity.evaluate({"k": 0.4}) == 0.5


def test_a_dollar_in_prose_is_a_dollar():
    text = MINIMAL.replace("name:", "description: $nothing here costs $(5)\nname:")

    assert read_recipe_text(text).description == "$nothing here costs $(5)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("E008", 1, 1)),
        ("# only a comment\n", ("E008", 1, 1)),
        ("- condensa: 1\n", ("E008", 1, 1)),
        ("condensa", ("E008", 1, 1)),
        ("condensa: 1\nname: a\x07b\n", ("E009", 2, 8)),
        ("condensa: " + "[" * 60, ("E009", 1, 60)),  # one mapping and fifty lists: the fiftieth is too deep
        ("a: &a [x]\nb: [*a, *a]\n", ("E005", 1, 4)),
        ("x: " + "y" * 2**20, ("E009", 1, 1)),
        ("{a: b}: c\n", ("E007", 1, 1)),
    ],
)
def test_what_is_no_recipe_is_refused_at_its_place(text, expected):
    assert codes(text)[0] == expected


def test_bytes_that_are_no_utf8_are_refused_at_their_place(tmp_path):
    file = tmp_path / "latin.yaml"
    file.write_bytes(b"condensa: 1\nname: caf\xe9\n")

    (problem,) = check_recipe(file)

    assert (problem.code, problem.place.line, problem.place.column) == ("E009", 2, 10)


def test_a_byte_order_mark_is_no_part_of_the_recipe(tmp_path):
    file = tmp_path / "bom.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())

    assert check_recipe(file) == ()


def test_windows_line_ends_count_as_one(tmp_path):
    file = tmp_path / "dos.yaml"
    file.write_bytes(MINIMAL.replace("2pp", "2").replace("\n", "\r\n").encode())

    (problem,) = check_recipe(file)

    assert (problem.code, problem.place.line, problem.place.column) == ("E402", 8, 38)


def test_a_file_that_is_not_there_is_a_mistake_of_the_command(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        check_recipe(tmp_path / "none.yaml")
    with pytest.raises(UsageError, match="cannot be read"):
        check_recipe(tmp_path)
    with pytest.raises(UsageError, match="cannot be read"):
        check_recipe("n" * 300)
    with pytest.raises(UsageError, match="cannot be the name"):
        check_recipe("a\0b")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a file without an end")
def test_a_file_without_an_end_is_refused_as_too_large():
    (problem,) = check_recipe("/dev/zero")

    assert problem.code == "E009"
    assert "larger than" in problem.message


def test_key_paths_hold_keys_of_the_recipe_and_nothing_else():
    with pytest.raises(RecipeError) as refused:
        recipe_from({**parse(MINIMAL, "minimal.yaml").data, "vars": {"1a": 1, "b": [1], "c": None}})

    paths = sorted(problem.key_path for problem in refused.value.problems)
    assert paths == [("vars", "1a"), ("vars", "b"), ("vars", "c")]


def test_keys_of_a_mapping_that_are_no_text_are_refused():
    with pytest.raises(RecipeError) as refused:
        recipe_from({1: 2})
    assert [problem.code for problem in refused.value.problems] == ["E007", "E010"]

    with pytest.raises(RecipeError) as refused:
        recipe_from({**parse(MINIMAL, "minimal.yaml").data, "model": {"builtin": "lenet5", "args": {1: 2}}})
    (problem,) = refused.value.problems
    assert (problem.code, str(problem.place)) == ("E007", "model.args.1")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_text_makes_the_reader_stumble(data):
    """Any cut, doubled or overwritten recipe is read or refused with places inside the text: never another error."""
    text = MINIMAL + "knobs: {s: {range: [0, 0.5]}}\ngates:\n  - {metric: top1, split: test, max_drop: 2%}\n"
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        stop = data.draw(st.integers(start, min(len(text), start + 20)))
        noise = data.draw(
            st.one_of(
                st.text(max_size=6),
                st.sampled_from(
                    ["$", "$(", "*", "&a", "!t", "[", "{", "- ", "1e999", ".nan", "9" * 400, "null", "$s", "? "]
                ),
            )
        )
        text = text[:start] + noise + text[stop:]
    file = "fuzz.yaml"

    try:
        read_recipe_text(text, file)
    except RecipeError as refused:
        lines = (
            text.count("\n") + text.count("\r") + text.count("\x85") + text.count("\u2028") + text.count("\u2029") + 1
        )
        assert any(problem.severity == "error" for problem in refused.problems)
        assert all(1 <= problem.place.line <= lines and problem.place.column >= 1 for problem in refused.problems)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_mapping_makes_the_reader_stumble(data):
    """Any value in any place of a Python mapping is read or refused with a key path."""
    leaf = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=5)
        | st.sampled_from(["$s", "2%", "all"])
    )
    value = st.recursive(
        leaf,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
        max_leaves=4,
    )
    mapping = {
        "condensa": 1,
        "knobs": {"s": {"range": [0.0, 0.5]}},
        "model": {"builtin": "lenet5"},
        "data": {"builtin": "digits"},
        "layers": [{"match": ["a"], "scheme": [{"prune": {"sparsity": "$s"}}]}],
        "constraint": {"metric": "loss", "max_rise": "2%"},
        "objective": {"minimize": "size.onnx"},
    }
    section = data.draw(st.sampled_from([key for key in mapping if key != "condensa"]))
    where = mapping[section]
    while isinstance(where, (dict, list)) and where and data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(where) if isinstance(where, dict) else range(len(where))))
        if isinstance(where[key], (dict, list)) and data.draw(st.booleans()):
            where = where[key]
        else:
            where[key] = data.draw(value)
            break
    else:
        mapping[section] = data.draw(value)

    try:
        recipe_from(mapping)
    except RecipeError as refused:
        assert all(str(problem.place) for problem in refused.problems)


def test_shipped_recipes_are_sound():
    shipped = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))

    assert len(shipped) >= 4
    assert {file.stem: check_recipe(file) for file in shipped} == {file.stem: () for file in shipped}
    assert all(read_recipe(file).name == file.stem for file in shipped)
