"""The README says what is true: its recipe, its commands, its exit codes and its Python code."""

import contextlib
import io
import json
import re
from pathlib import Path

from condensa_cli import exit_codes
from condensa_cli.app import app

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def block(language: str, number: int = 0) -> str:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)[number]


def test_the_recipe_takes_twelve_lines_and_passes_check(condensa, tmp_path):
    recipe = block("yaml")
    file = tmp_path / "readme.yaml"
    file.write_text(recipe)

    assert len(recipe.splitlines()) <= 12
    assert condensa("check", file).code == 0


def test_the_error_it_shows_is_the_one_that_is_printed(condensa, tmp_path):
    (tmp_path / "my.yaml").write_text(block("yaml").replace("\n\n", "\n").replace("2pp", "2"))

    answer = condensa("check", "my.yaml")

    shown = re.search(r"    (my\.yaml:.*?)\n\n", README, flags=re.DOTALL).group(1)
    printed = answer.out.split("\n\n")[0]
    shown_lines = [line.removeprefix("    ") for line in shown.splitlines()]
    # the README indents the block by four; line numbers differ by the blank lines left out above
    assert [re.sub(r"^my.yaml:\d+|^ *\d+ ", "", line) for line in shown_lines] == [
        re.sub(r"^my.yaml:\d+|^ *\d+ ", "", line) for line in printed.splitlines()
    ]


def test_it_lists_every_command():
    assert re.findall(r"^\| `condensa (\w+)", README, flags=re.MULTILINE) == [
        command.name for command in app.registered_commands
    ]


def test_it_lists_every_exit_code():
    table = {int(code) for code in re.findall(r"^\| (\d+) \|", README, flags=re.MULTILINE)}
    known = {value for name, value in vars(exit_codes).items() if name.isupper()}

    assert table == known - {exit_codes.BROKEN_PIPE}  # what a shell shows, not what a script would test for


def test_the_second_python_block_cuts_heads_and_neurons():
    names: dict[str, object] = {}

    exec(compile(block("python", 1), "README.md", "exec"), names)

    assert {f.unit: f.size for f in names["graph"].families} == {"head": 4, "channel": 2048}
    assert names["smaller"].error <= 1e-10
    before, after = (sum(p.numel() for p in m.parameters()) for m in (names["model"], names["smaller"].model))
    assert after < 0.51 * before


def test_a_model_of_ones_own_takes_the_place_of_the_builtin_one(condensa, tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\n\n\n"
        "def Net(width, classes):\n"
        "    return nn.Sequential(nn.Conv2d(1, width, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36 * width, classes))\n"
    )
    file = tmp_path / "own.yaml"
    file.write_text(block("yaml").replace("model: {builtin: small-cnn}\n", block("yaml", 1)))

    document = json.loads(condensa("inspect", file, "--json", "--quiet").out)

    assert {family["name"]: family["size"] for family in document["families"]} == {"0": 16}


def test_the_python_code_does_the_digits_job_in_fewer_than_ten_lines(tmp_path, monkeypatch):
    code = block("python")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "README.md", "exec"), names)

    outcome = names["outcome"]
    assert len([line for line in code.splitlines() if line.strip()]) < 10
    assert outcome.status == "ok"
    assert outcome.best.ratio.low > 1
    assert outcome.run_dir in printed.getvalue()
    assert json.loads((Path(outcome.run_dir) / "result.json").read_text())["exit_code"] == 0
