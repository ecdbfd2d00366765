"""Nothing a user can type prints a traceback: refusals are drawn, counted by exit code and told to machines."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from condensa_cli.app import exit_code_of
from condensa_cli.problems import drawn_error, drawn_problem, github_annotations, printable
from hypothesis import given, settings
from hypothesis import strategies as st

from condensa_core.errors import MissingRuntime, Place, Problem, RecipeError, RunFailed, UsageError

PLACE = Place("x.yaml", 3, 9, "model: {bultin: y}", 6)


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (["chekc"], "no such command 'chekc'"),
        (["check"], "missing argument"),
        (["run", "--trials", "0", "x.yaml"], "'--trials'"),
        (["doctor", "--nosuch"], "no such option: --nosuch"),
        (["check", "missing.yaml"], "missing.yaml"),
        (["plan", "missing.yaml"], "missing.yaml"),
        (["run", "missing.yaml"], "missing.yaml"),
        (["inspect", "missing.yaml"], "missing.yaml"),
        (["resume", "missing"], "missing"),
        (["report", "missing"], "missing"),
        (["init", "digits-filter"], "did you mean 'digits-filters'?"),
        (["inspect", "small-cnn", "--input", "3xx3"], "3x32x32"),
        (["inspect", "small-cnn", "--input", "9" * 5000], "is no shape"),
        (["inspect", "small-cnn", "--input", "3x60000x60000"], "more than 67108864 values"),
        (["inspect", "small-cnn", "--classes", "1000001"], "'--classes'"),
        (["run", "--seed", str(2**63), "x.yaml"], "'--seed'"),
        (["run", "--trials", "10001", "x.yaml"], "'--trials'"),
        (["bench", "a.onnx", "--compare", "b.onnx", "--min-speedup", "0"], "--min-speedup"),
        (["bench", "a.onnx", "--compare", "b.onnx", "--min-speedup", "nan"], "--min-speedup"),
        (["bench", "a.onnx", "--compare", "b.onnx", "--min-speedup", "inf"], "--min-speedup"),
        (["bench", "a.onnx", "--seconds", "nan"], "--seconds"),
        (["bench", "a.onnx"], "a.onnx is no file"),
        *(([command, "n" * 300], "n" * 300) for command in ("check", "plan", "run", "resume", "report", "bench")),
        (["inspect", "n" * 300 + ".yaml"], "n" * 300),
        (["inspect", "n" * 300], "n" * 300),
    ],
)
def test_a_mistake_on_the_command_line_exits_2_and_says_what(condensa, arguments, fact):
    answer = condensa(*arguments)

    assert answer.code == 2
    assert fact in answer.err
    assert not answer.out
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("arguments", [["check", "--json", "--nosuch"], ["run", "--json", "missing.yaml"]])
def test_a_refusal_with_json_is_one_document_on_stdout(condensa, arguments):
    answer = condensa(*arguments)

    document = json.loads(answer.out)
    assert document["schema"] == "condensa.error/1"
    assert (document["status"], document["exit_code"], answer.code) == ("error", 2, 2)
    assert document["reasons"]


def test_every_mistake_of_a_recipe_is_drawn_at_once_with_its_place(condensa, broken):
    answer = condensa("run", broken)

    assert answer.code == 2
    assert f"{broken}:3:9: error[" in answer.err
    assert f"{broken}:8:38: error[" in answer.err
    assert "    3 | model: {bultin: small-cnn}\n      |         ^^^^^^\n" in answer.err


def test_a_problem_is_drawn_with_line_caret_and_help():
    problem = Problem("E101", "unknown key 'bultin'", PLACE, help=("did you mean 'builtin'?", "or 'python'"))

    assert drawn_problem(problem).plain.split("\n") == [
        "x.yaml:3:9: error[E101]: unknown key 'bultin'",
        "    3 | model: {bultin: y}",
        "      |         ^^^^^^",
        "      = help: did you mean 'builtin'?",
        "      = help: or 'python'",
    ]


def test_the_caret_stands_under_the_word_after_wide_characters_and_tabs():
    place = Place("x.yaml", 1, 5, "a\t漢: word", 4)

    lines = drawn_problem(Problem("W301", "unused", place)).plain.split("\n")

    # the ideograph is two cells wide: `a`, blank, two cells, `:` is the fifth cell; then the blank
    assert lines[1] == "    1 | a 漢: word"
    assert lines[2] == "      |      ^^^^"


def test_a_refusal_without_a_recipe_is_one_sentence_with_its_remedy():
    error = MissingRuntime("onnxruntime is not installed", hint="pip install '.[cpu]'")

    assert drawn_error(error).plain == ("error: onnxruntime is not installed\n      = help: pip install '.[cpu]'")


def test_an_error_with_a_place_shows_its_line():
    assert "    3 | model: {bultin: y}\n      |         ^^^^^^" in drawn_error(UsageError("no", place=PLACE)).plain


def test_a_file_cannot_steer_the_terminal():
    hostile = "\x1b]0;owned\x07\r\u202e"
    error = RecipeError([Problem("E101", hostile, Place("x", 1, 1, hostile))])

    assert not set(drawn_error(error).plain) & set(hostile[0:1] + "\x07\r\u202e")


@given(st.text())
def test_what_is_printable_stays(text):
    assert printable(printable(text)) == printable(text)
    if text.isprintable():
        assert printable(text) == text


def test_github_annotations_escape_what_would_end_them():
    problem = Problem("E1", "50% of\nit", Place("a,b:c.yaml", 2, 3, width=4), help=("try",))

    assert github_annotations([problem]) == (
        "::error file=a%2Cb%3Ac.yaml,line=2,col=3,endColumn=7,title=E1::50%25 of%0Ait%0Atry\n"
    )


VOCABULARY = [
    *("init", "check", "plan", "run", "resume", "bench", "report", "schema", "doctor", "inspect"),
    *("--json", "--help", "--version", "--out", "--trials", "--seed", "--list", "--format", "--quiet", "-v", "--"),
    *("--input", "--batch", "--no-python", "--no_python", "-x", "--compare", "", "0", "-1", "nan", "1e999", "\x00"),
    *("nofile.yaml", "nofile.onnx", ".", "/", "\ud800", "ü", "github", "x" * 5000),
]


@settings(max_examples=60)
@given(arguments=st.lists(st.sampled_from(VOCABULARY) | st.text(max_size=6), max_size=4))
def test_whatever_is_typed_ends_in_an_exit_code_and_no_traceback(arguments, tmp_path_factory):
    # `doctor` looks at the machine: what it finds is tested elsewhere, and takes time
    arguments = [argument for argument in arguments if argument != "doctor"]
    here, folder = Path.cwd(), tmp_path_factory.mktemp("typed", numbered=True)
    out, err = folder / "out", folder / "err"
    os.chdir(folder)
    try:
        with out.open("w", errors="replace") as stdout, err.open("w", errors="replace") as stderr:
            before, sys.stdout, sys.stderr = (sys.stdout, sys.stderr), stdout, stderr
            try:
                code = exit_code_of(arguments)
            finally:
                sys.stdout, sys.stderr = before
    finally:
        os.chdir(here)

    assert code in (0, 1, 2, 3), err.read_text()
    assert "Traceback" not in err.read_text()
    assert code == 0 or err.read_text()


@pytest.mark.parametrize(
    "junk", [b"", b"\xff\xfe", b"\x00", b"[", b"a: &a [*a]", b"- " * 3000, b"{" * 3000, b"!!python/object:os.system x"]
)
@pytest.mark.parametrize("command", ["check", "run", "plan"])
def test_a_file_of_junk_is_refused_with_its_place(condensa, tmp_path, command, junk):
    file = tmp_path / "junk.yaml"
    file.write_bytes(junk)

    answer = condensa(command, file)

    assert answer.code == 2
    assert f"{file}:" in answer.out + answer.err


def test_a_bug_is_one_paragraph_and_a_file_with_the_traceback(condensa, good, tmp_path, monkeypatch):
    # given a bug
    def bug(_path):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("condensa_core.recipe.check_recipe", bug)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    # when
    answer = condensa("check", good)

    # then
    (saved,) = tmp_path.glob("condensa-crash-*.txt")
    assert answer.code == 70
    assert "ZeroDivisionError: division by zero" in answer.err
    assert str(saved) in answer.err
    assert "Traceback" not in answer.err
    assert "Traceback" in saved.read_text()


@pytest.mark.parametrize("flags", [["--json"], ["--format", "json"]])
def test_a_bug_with_json_is_one_document(condensa, good, tmp_path, monkeypatch, flags):
    def bug(_path):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("condensa_core.recipe.check_recipe", bug)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    answer = condensa("check", *flags, good)

    document = json.loads(answer.out)
    assert (document["status"], document["exit_code"], answer.code) == ("bug", 70, 70)
    assert "ZeroDivisionError" in document["reasons"][0]


def test_an_interruption_with_json_is_one_document(condensa, good, monkeypatch):
    def interrupt(_path):
        raise KeyboardInterrupt

    monkeypatch.setattr("condensa_core.recipe.check_recipe", interrupt)

    answer = condensa("check", "--json", good)

    document = json.loads(answer.out)
    assert (document["status"], document["exit_code"], answer.code) == ("interrupted", 130, 130)
    assert document["reasons"]


def test_a_reader_that_leaves_early_is_no_error():
    command = subprocess.Popen(
        [sys.executable, "-m", "condensa_cli", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )

    command.stdout.close()

    assert command.wait(timeout=60) == 141
    assert command.stderr.read() == b""
    command.stderr.close()


@pytest.mark.parametrize(("error", "status"), [(UsageError, "error"), (RunFailed, "failed")])
def test_the_status_tells_what_to_do(condensa, good, monkeypatch, error, status):
    def refuse(_path):
        raise error("no")

    monkeypatch.setattr("condensa_core.recipe.check_recipe", refuse)

    answer = condensa("check", "--json", good)

    assert json.loads(answer.out)["status"] == status
    assert answer.code == error.exit_code
