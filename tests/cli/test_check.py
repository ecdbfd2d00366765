"""`check` finds every mistake of every file, and says it to people, programs and GitHub."""

import json
import time

import pytest


@pytest.mark.parametrize("options", [[], ["--no-python"]])
def test_a_good_recipe_passes(condensa, good, options):
    answer = condensa("check", *options, good)

    assert (answer.code, answer.out, answer.err) == (0, "1 recipe checked: all good\n", "")


def test_quiet_says_nothing_about_good_recipes(condensa, good):
    assert condensa("check", "--quiet", good).out == ""


def test_all_files_are_checked_and_all_mistakes_shown(condensa, good, broken):
    answer = condensa("check", broken, good)

    assert answer.code == 2
    assert f"{broken}:3:9: error[" in answer.out
    assert f"{broken}:8:38: error[" in answer.out
    assert answer.out.splitlines()[-1].startswith("2 recipes checked: ")


def test_warnings_alone_pass(condensa, good):
    good.write_text(good.read_text() + "knobs:\n  unused: {range: [0.0, 0.5]}\n")

    answer = condensa("check", good)

    assert answer.code == 0
    assert f"{good}:11:3: warning[" in answer.out
    assert answer.out.splitlines()[-1] == "1 recipe checked: 1 warning"


@pytest.mark.parametrize("flags", [["--json"], ["--format", "json"]])
def test_json_holds_every_problem_with_its_place(condensa, broken, flags):
    answer = condensa("check", *flags, broken)

    document = json.loads(answer.out)
    places = {(problem["line"], problem["column"], problem["end_column"]) for problem in document["problems"]}
    assert (document["schema"], document["status"], document["exit_code"]) == ("condensa.check/1", "error", 2)
    assert {(3, 9, 15), (8, 38, 39)} <= places
    assert len(document["reasons"]) == len(document["problems"])
    assert answer.err == ""


def test_json_of_a_good_recipe_has_no_reasons(condensa, good):
    document = json.loads(condensa("check", "--json", good).out)

    assert (document["status"], document["exit_code"], document["reasons"]) == ("ok", 0, [])


def test_github_gets_annotations_and_nothing_else(condensa, broken):
    answer = condensa("check", "--format", "github", broken)

    assert answer.code == 2
    assert all(line.startswith(f"::error file={broken},line=") for line in answer.out.splitlines())


def test_the_schema_is_one_json_document_about_recipes(condensa):
    answer = condensa("schema")

    schema = json.loads(answer.out)
    assert answer.code == 0
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert {"condensa", "model", "layers", "constraint", "objective"} <= set(schema["properties"])


def test_a_file_that_cannot_be_read_does_not_hide_the_others(condensa, good, broken):
    answer = condensa("check", "nosuch.yaml", broken, good)

    assert answer.code == 2
    assert f"{broken}:3:9: error[" in answer.out
    assert answer.out.splitlines()[-1].startswith("2 recipes checked: ")
    assert "nosuch.yaml" in answer.err


@pytest.mark.parametrize("flags", [["--json"], ["--format", "json"]])
def test_an_unreadable_file_as_json_is_one_document(condensa, flags):
    answer = condensa("check", *flags, "nosuch.yaml")

    document = json.loads(answer.out)
    assert (document["status"], document["exit_code"], answer.code) == ("error", 2, 2)
    assert "nosuch.yaml" in document["reasons"][0]


def test_json_is_ascii_whatever_a_recipe_says(condensa, good):
    good.write_text(good.read_text().replace("top1", "t\u00f6p1"), encoding="utf-8")

    answer = condensa("check", "--json", good)

    assert answer.out.isascii()
    assert "t\u00f6p1" in json.loads(answer.out)["reasons"][0]


def test_a_compute_capability_named_twice_is_refused_in_either_spelling(condensa, tmp_path):
    recipe = tmp_path / "twice.yaml"
    recipe.write_text(
        "condensa: 1\nmodel: {builtin: small-cnn}\ndata: {builtin: digits}\n"
        "layers: [{match: all, scheme: {filter: {}}}]\nconstraint: {metric: top1, max_drop: 2pp}\n"
        "objective: {maximize: throughput}\ntargets:\n  rtx: {backend: tensorrt-rtx, arch: [sm89, sm_8.9]}\n",
        encoding="utf-8",
    )

    answer = condensa("check", str(recipe))

    assert answer.code == 2
    assert "'arch' names sm89 twice" in answer.out
    assert ":8:38: error[E106]" in answer.out


def test_many_mistakes_in_one_long_line_take_no_second(condensa, tmp_path):
    gates = ", ".join(['{"at_lest_of_all_the_metrics_there_are": 0.5}'] * 600)
    (tmp_path / "r.yaml").write_text(f'{{"condensa": 1, "gates": [{gates}]}}')
    condensa("check", "r.yaml")  # loads what the first call needs

    begun = time.process_time()
    answer = condensa("check", "r.yaml")

    assert time.process_time() - begun < 1
    assert answer.code == 2 and answer.out.count("unknown key") == 600
    assert max(map(len, answer.out.splitlines())) < 300
