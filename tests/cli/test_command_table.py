"""The commands and their options, as a user meets them: quickly, complete, and spelled one way."""

import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from condensa_cli.app import app

COMMANDS = [
    "init", "check", "plan", "inspect", "run", "resume", "bench", "ablate",
    "unpack", "engine", "report", "schemes", "schema", "doctor",
]  # fmt: skip
TABLE = typer.main.get_command(app)


def test_the_table_holds_the_documented_commands_in_the_order_of_use():
    assert list(TABLE.commands) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_helps(condensa, name):
    answer = condensa(name, "--help")

    assert answer.code == 0
    assert answer.out.startswith(f"Usage: condensa {name}")
    assert not answer.err


@pytest.mark.parametrize("name", COMMANDS)
def test_the_first_sentence_of_a_command_fits_the_overview(condensa, name):
    line = next(line for line in condensa("--help").out.splitlines() if line.startswith(f"  {name} "))

    assert line.endswith(".")
    assert not line.endswith("...")


def test_flags_are_kebab_case():
    flags = [
        flag
        for command in [TABLE, *TABLE.commands.values()]
        for parameter in command.params
        if parameter.param_type_name == "option"
        for flag in [*parameter.opts, *parameter.secondary_opts]
    ]

    assert flags
    assert not [flag for flag in flags if not re.fullmatch(r"--[a-z]+(-[a-z]+)*|-[a-z]", flag)]


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"init", "schema"}))
def test_every_command_that_reports_speaks_json(name):
    assert "--json" in [flag for parameter in TABLE.commands[name].params for flag in parameter.opts]


def test_version(condensa):
    answer = condensa("--version")

    assert (answer.code, answer.err) == (0, "")
    assert re.fullmatch(r"condensa \d+\.\d+\.\d+\n", answer.out)


def test_no_command_is_a_mistake_with_a_way_out(condensa):
    answer = condensa()

    assert answer.code == 2
    assert "condensa --help" in answer.err


def test_module_and_script_are_the_same_program():
    script = Path(sys.executable).with_name("condensa")

    answers = [
        subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout
        for command in ([sys.executable, "-m", "condensa_cli"], [str(script)])
    ]

    assert answers[0] == answers[1]


def processor_s(command, folder):
    """Processor seconds of a command that says nothing on stderr."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert answer.stderr.split() == []
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("arguments", [["--help"], ["check", "good.yaml"], ["schema"]], ids=lambda a: a[0])
def test_quick_commands_take_under_half_a_second_and_load_nothing_heavy(good, arguments):
    code = (
        "import sys\n"
        "from condensa_cli.app import exit_code_of\n"
        "code = exit_code_of(sys.argv[1:])\n"
        "heavy = {'torch', 'numpy', 'sklearn', 'botorch', 'onnx', 'onnxruntime', 'scipy'} & set(sys.modules)\n"
        "print(*sorted(heavy), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )

    # CPU time, not wall time: other test processes share the cores; the best of several, the first warms the disk cache
    seconds, libraries = [], []
    for _ in range(4):
        seconds.append(processor_s([sys.executable, "-c", code, *arguments], good.parent))
        libraries.append(processor_s([sys.executable, "-c", "import pydantic, rich.table, typer, yaml"], good.parent))

    # a quarter of it are the libraries, which take longer, too, where others use the caches
    assert min(seconds) < max(0.5, 5 * min(libraries))
