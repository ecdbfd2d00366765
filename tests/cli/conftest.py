"""A recipe to read and a way to run one command line in this process."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from condensa_cli.app import exit_code_of

GOOD = """\
condensa: 1
name: good
model: {builtin: small-cnn}
data: {builtin: digits}
layers:
  - match: all
    scheme: {filter: {}}
constraint: {metric: top1, max_drop: 2pp}
objective: {maximize: throughput}
"""


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


@pytest.fixture
def condensa(capsys, tmp_path, monkeypatch) -> Callable[..., Answer]:
    """`condensa("check", "x.yaml")` in an empty folder, without colours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    capsys.readouterr()

    def command(*arguments: object) -> Answer:
        code = exit_code_of([str(argument) for argument in arguments])
        return Answer(code, *capsys.readouterr())

    return command


@pytest.fixture
def good(tmp_path):
    file = tmp_path / "good.yaml"
    file.write_text(GOOD, encoding="utf-8")
    return file


@pytest.fixture
def broken(tmp_path):
    """Two mistakes: an unknown key in line 3 and a bound without a unit in line 8."""
    file = tmp_path / "broken.yaml"
    file.write_text(GOOD.replace("model: {builtin", "model: {bultin").replace("2pp", "2"), encoding="utf-8")
    return file
