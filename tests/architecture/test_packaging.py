"""The traps of installing: a list of packages that drifts, names that collide, data left out of the wheel."""

import configparser
import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import condensa_core

ROOT = Path(__file__).parents[2]
MAPPED = {"condensa_cli": "cli", "condensa_core": "condensa_core", "condensa_recipes": "recipes"}


@pytest.fixture(scope="module")
def setup_cfg():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def listed(text):
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def folders_with_code(root: Path = ROOT) -> dict[str, Path]:
    """Installed name -> folder, for every folder that holds Python files."""
    found = {}
    for name, folder in MAPPED.items():
        top = root / folder
        for path in [top, *sorted(p for p in top.rglob("*") if p.is_dir())]:
            if any(path.glob("*.py")):
                found[".".join([name, *path.relative_to(top).parts])] = path
    return found


def test_the_package_list_equals_the_folders(setup_cfg):
    packages = listed(setup_cfg["options"]["packages"])

    assert packages == sorted(set(packages)), "one line per package, in order"
    assert set(packages) == set(folders_with_code())


def test_every_package_has_an_init_file():
    assert not [name for name, folder in folders_with_code().items() if not (folder / "__init__.py").is_file()]


def test_the_version_is_said_once(setup_cfg):
    assert setup_cfg["metadata"]["version"] == condensa_core.__version__


def test_no_extra_brings_both_builds_of_onnxruntime(setup_cfg):
    extras = setup_cfg["options.extras_require"]

    with_cpu = {name for name in extras if any(line.startswith("onnxruntime>") for line in listed(extras[name]))}
    with_gpu = {name for name in extras if any(line.startswith("onnxruntime-gpu") for line in listed(extras[name]))}

    assert with_cpu == {"cpu"}
    assert with_gpu == {"gpu"}
    assert not [line for line in listed(setup_cfg["options"]["install_requires"]) if line.startswith("onnxruntime")]


def test_metadata_pins_nothing(setup_cfg):
    requirements = listed(setup_cfg["options"]["install_requires"])

    assert not [line for line in requirements if "==" in line or "+cpu" in line]


def test_the_folder_cannot_be_imported_under_its_own_name():
    answer = subprocess.run([sys.executable, "-c", "import cli"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert answer.returncode == 1
    assert "import condensa_cli" in answer.stderr.splitlines()[-1]


def test_the_wheel_holds_three_top_level_names_and_the_recipes(tmp_path, setup_cfg):
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("setuptools is not installed, and fetching it needs a network")
    # given a copy, because a build leaves folders behind that the next build would pack
    source = tmp_path / "source"
    for folder in MAPPED.values():
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("setup.cfg", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / file, source)

    # when
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "--no-index"]
    subprocess.run([*command, "--wheel-dir", tmp_path, source], check=True, capture_output=True)

    # then
    (wheel,) = tmp_path.glob("condensa_cli-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == set(MAPPED)
    packed = {name for name in names if ".dist-info" not in name}
    expected = {
        f"{package.replace('.', '/')}/{file.name}"
        for package, folder in folders_with_code().items()
        for file in folder.iterdir()
        if file.suffix == ".py" or (package == "condensa_recipes" and file.suffix == ".yaml")
    } | {"condensa_core/py.typed"}
    assert packed == expected
    (entry_points,) = [name for name in names if name.endswith("entry_points.txt")]
    assert "condensa = condensa_cli.start:main" in zipfile.ZipFile(wheel).read(entry_points).decode()
