"""The drawing of docs/architecture.md, held against the code: imports point left in the flow, never right."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "condensa_core"

FOUNDATIONS = {
    "cache_directory",
    "code_free",
    "errors",
    "evaluation_mode",
    "plain_file",
    "platforms",
    "progress",
    "randomness",
    "run_directory",
    "run_lock",
    "whole_file",
}
# who may import whom; the foundations are open to everybody
MAY_IMPORT: dict[str, set[str]] = {
    "cache_directory": set(),
    "code_free": set(),
    "errors": set(),
    "evaluation_mode": set(),
    "plain_file": set(),
    "platforms": set(),
    "progress": set(),
    "randomness": set(),
    "run_directory": set(),
    "run_lock": set(),
    "whole_file": set(),
    "recipe": set(),
    "workload": {"recipe"},
    "graph": set(),
    "criteria": {"graph"},
    "schemes": {"graph", "criteria"},
    "plan": {"recipe", "graph", "schemes"},
    "search": set(),
    "learning": {"schemes", "workload", "graph"},
    "materialise": {"graph", "schemes"},
    "export": {"schemes"},
    "engines": {"export"},
    "bench": {"engines"},
    "report": {"recipe", "search", "bench"},
}
MAY_IMPORT["flow"] = set(MAY_IMPORT) - FOUNDATIONS
CLI_MAY_IMPORT = {"errors", "platforms", "progress", "recipe", "report", "run_lock", "flow"}

# third-party packages that only these rooms may know
HOMES = {
    "yaml": {"recipe"},
    "botorch": {"search"},
    "gpytorch": {"search"},
    "linear_operator": {"search"},
    "onnx": {"export", "engines"},
    "onnxscript": {"export"},
    "onnxruntime": {"export", "bench"},
    "tensorrt": {"engines"},
    "tensorrt_rtx": {"engines"},
    "openvino": {"bench"},
    "sklearn": {"workload"},
    "typer": set(),
    "rich": set(),
    "click": set(),
}
TORCH_FREE = {"errors", "platforms", "progress", "randomness", "recipe", "report"}


def room_of(path: Path) -> str:
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> Iterator[str]:
    """Absolute dotted names of everything the file imports, inside functions and TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield "." * node.level + (node.module or "")
            elif node.module == "condensa_core":
                yield from (f"condensa_core.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


def imported_rooms(path: Path) -> set[str]:
    names = [name.split(".") for name in imported_modules(path)]
    rooms = {parts[1] for parts in names if parts[0] == "condensa_core" and len(parts) > 1}
    return {room for room in rooms if not room.startswith("__")}


CORE_FILES = sorted(path for path in CORE.rglob("*.py") if path != CORE / "__init__.py")
CLI_FILES = sorted((ROOT / "cli").glob("*.py"))
identity = {"ids": lambda path: str(path.relative_to(ROOT))}


@pytest.mark.parametrize("path", CORE_FILES, **identity)
def test_a_core_file_imports_only_what_the_drawing_allows(path):
    room = room_of(path)

    foreign = imported_rooms(path) - {room} - FOUNDATIONS

    assert room in MAY_IMPORT, f"{room} is not in the drawing"
    assert foreign <= MAY_IMPORT[room], f"{room} may not import {sorted(foreign - MAY_IMPORT[room])}"


@pytest.mark.parametrize("path", CORE_FILES, **identity)
def test_core_uses_absolute_imports_and_knows_no_front_end(path):
    modules = list(imported_modules(path))

    assert not [name for name in modules if name.startswith(".")]
    assert not {name.split(".")[0] for name in modules} & {"condensa_cli", "cli"}


@pytest.mark.parametrize("path", CORE_FILES, **identity)
def test_third_party_packages_stay_in_their_home_room(path):
    room = room_of(path)

    strangers = {
        package
        for package in (name.split(".")[0] for name in imported_modules(path))
        if package in HOMES and room not in HOMES[package]
    }

    assert not strangers, f"{room} is not the home of {sorted(strangers)}"


@pytest.mark.parametrize("path", CORE_FILES, **identity)
def test_core_never_prints(path):
    calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))

    printing = [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]

    assert not printing


@pytest.mark.parametrize("path", CLI_FILES, **identity)
def test_the_command_line_imports_only_what_the_drawing_allows(path):
    assert imported_rooms(path) <= CLI_MAY_IMPORT


def test_the_one_except_condensa_error_lives_in_app():
    # a handler that only re-raises catches nothing
    def catches(path: Path) -> bool:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler) and node.type is not None:
                names = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)}
                only_raises = isinstance(node.body[0], ast.Raise) and node.body[0].exc is None
                if "CondensaError" in names and not only_raises:
                    return True
        return False

    catching = [path.name for path in CLI_FILES if catches(path)]

    assert catching == ["app.py"]


def test_every_room_is_in_the_drawing_and_every_drawn_room_exists():
    rooms = {path.name for path in CORE.iterdir() if path.is_dir() and list(path.glob("*.py"))}
    modules = {path.stem for path in CORE.glob("*.py")} - {"__init__"}

    assert rooms | modules == set(MAY_IMPORT)


def test_the_drawing_has_no_cycle():
    done: set[str] = set()

    while ready := {room for room, needs in MAY_IMPORT.items() if room not in done and needs <= done}:
        done |= ready

    assert done == set(MAY_IMPORT)


def test_the_drawing_in_the_documentation_is_this_one():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = [line.strip("| \n").split("|") for line in text.splitlines() if line.startswith("| ")]
    rows = {cells[0].strip(): cells[1].split("(")[0] for cells in table if cells[0].strip() != "room"}
    drawn = {room: {name.strip() for name in names.split(",")} - {"–", ""} for room, names in rows.items()}

    cli = drawn.pop("cli/")
    flow = drawn.pop("flow")

    assert drawn == {room: names for room, names in MAY_IMPORT.items() if room not in FOUNDATIONS | {"flow"}}
    assert cli == CLI_MAY_IMPORT
    assert flow == {"all"}


@pytest.mark.parametrize("module", ["condensa_cli.app", *(f"condensa_core.{room}" for room in sorted(TORCH_FREE))])
def test_torch_stays_out(module):
    heavy = "{'torch', 'numpy', 'sklearn', 'botorch', 'onnx', 'onnxruntime'}"
    code = f"import sys, {module}; print(*sorted({heavy} & set(sys.modules)))"

    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert answer.stdout.split() == []
