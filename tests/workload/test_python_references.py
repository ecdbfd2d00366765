"""Python references: what is found, what is refused, and how the user's own mistakes are told."""

import importlib
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from condensa_core.errors import WorkloadError
from condensa_core.workload.python_reference import call_object, load_object
from condensa_core.workload.python_sources import package_of, source_digest, sources_of


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)


def test_file_next_to_the_recipe_is_loaded_without_leaving_a_trace_on_the_path(tmp_path):
    write(tmp_path, "neighbour_of_models.py", "width = 7\n")
    write(tmp_path, "models.py", "import neighbour_of_models\nclass Zoo:\n    width = neighbour_of_models.width\n")
    before = list(sys.path)

    found = load_object("models.py:Zoo.width", tmp_path)

    assert found == 7
    assert sys.path == before
    assert "models" not in sys.modules


def test_two_references_to_one_file_share_its_module_and_an_edit_makes_a_new_one(tmp_path):
    write(tmp_path, "data.py", "held = []\ndef train(): return held\ndef val(): return held\n")

    train, val = (load_object(f"data.py:{name}", tmp_path) for name in ("train", "val"))
    write(tmp_path, "data.py", "def train(): return 'edited'\n")
    edited = load_object("data.py:train", tmp_path)

    assert train() is val()
    assert edited() == "edited"


def test_an_edited_neighbour_is_run_again_with_all_that_took_something_from_it(tmp_path):
    write(tmp_path, "net_of_layers.py", "from blocks_of_layers import block\ndef net(): return block()\n")
    write(tmp_path, "blocks_of_layers.py", "from width_of_layers import width\ndef block(): return width\n")
    write(tmp_path, "width_of_layers.py", "width = 6\n")

    before = load_object("net_of_layers.py:net", tmp_path)
    write(tmp_path, "width_of_layers.py", "width = 7\n")
    after = load_object("net_of_layers.py:net", tmp_path)
    module = load_object("blocks_of_layers:block", tmp_path)
    write(tmp_path, "width_of_layers.py", "width = 8\n")

    assert (before(), after(), module()) == (6, 7, 7)
    assert load_object("blocks_of_layers:block", tmp_path)() == 8


def test_neighbours_in_folders_without_init_are_told_apart_and_run_again(tmp_path):
    for number, folder in enumerate((tmp_path / "a", tmp_path / "b")):
        (folder / "parts_of_nets").mkdir(parents=True)
        write(folder, "net.py", "from parts_of_nets import blocks\ndef net(): return blocks.number\n")
        write(folder / "parts_of_nets", "blocks.py", f"number = {number}\n")

    found = [load_object("net.py:net", tmp_path / name)() for name in "ab"]
    write(tmp_path / "b" / "parts_of_nets", "blocks.py", "number = 2\n")

    assert [*found, load_object("net.py:net", tmp_path / "b")()] == [0, 1, 2]


def test_a_neighbour_that_was_imported_before_is_run_again_once_it_was_edited(tmp_path, monkeypatch):
    write(tmp_path, "looked_at_before.py", "width = 6\n")
    write(tmp_path, "net.py", "import looked_at_before\ndef net(): return looked_at_before.width\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("looked_at_before")

    before = load_object("net.py:net", tmp_path)()
    write(tmp_path, "looked_at_before.py", "width = 7\n")

    assert (before, load_object("net.py:net", tmp_path)()) == (6, 7)


def test_neighbours_of_one_name_in_two_folders_are_two(tmp_path):
    for number, folder in enumerate((tmp_path / "a", tmp_path / "b")):
        folder.mkdir()
        write(folder, "net.py", "import neighbour_of_one_name\ndef net(): return neighbour_of_one_name.number\n")
        write(folder, "neighbour_of_one_name.py", f"number = {number}\n")

    assert [load_object("net.py:net", tmp_path / name)() for name in "aba"] == [0, 1, 0]


def test_installed_module_is_imported(tmp_path):
    assert load_object("collections.abc:Sized", tmp_path) is __import__("collections").abc.Sized


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("models.py:resnet51", r"models.py has no 'resnet51'; did you mean 'resnet50'\?"),
        ("model.py:resnet50", r"'model.py' does not exist; did you mean 'models.py'\?"),
        ("models.py", "has no object; write file.py:object"),
        ("no_such_package_xyz:thing", "there is no module 'no_such_package_xyz'"),
        ("a b:thing", "neither a .py file nor a module"),
        ("broken.py:thing", r"broken.py:2:"),
        ("raising.py:thing", r"raising.py failed at raising.py:2: ZeroDivisionError: division by zero"),
    ],
)
def test_refusals_say_what_to_change(tmp_path, reference, message):
    write(tmp_path, "models.py", "def resnet50(): ...\n")
    write(tmp_path, "broken.py", "x = 1\ndef (:\n")
    write(tmp_path, "raising.py", "x = 1\n1 / 0\n")

    with pytest.raises(WorkloadError, match=message):
        load_object(reference, tmp_path)


def test_no_python_refuses_before_the_file_runs(tmp_path):
    write(tmp_path, "models.py", f"open({str(tmp_path / 'ran')!r}, 'w')\ndef build(): ...\n")

    with pytest.raises(WorkloadError, match="--no-python"):
        load_object("models.py:build", tmp_path, allow_python=False)

    assert not (tmp_path / "ran").exists()


def test_a_file_that_failed_is_run_again(tmp_path):
    write(tmp_path, "models.py", "import os\nif not os.path.exists(__file__ + '.ok'): raise OSError('later')\nx = 1\n")

    with pytest.raises(WorkloadError, match="later"):
        load_object("models.py:x", tmp_path)
    write(tmp_path, "models.py.ok", "")

    assert load_object("models.py:x", tmp_path) == 1


def test_errors_inside_a_call_name_file_and_line(tmp_path):
    write(
        tmp_path, "models.py", "def build(width):\n    import torch\n    return torch.zeros(2) @ torch.zeros(width)\n"
    )
    build = load_object("models.py:build", tmp_path)

    with pytest.raises(WorkloadError, match=r"models.py:build failed at models.py:3: RuntimeError"):
        call_object("models.py:build", build, {"width": 3}, tmp_path)


def test_wrong_arguments_are_told_before_the_call(tmp_path):
    write(tmp_path, "models.py", "def build(width): return width\n")
    build = load_object("models.py:build", tmp_path)

    with pytest.raises(WorkloadError, match="did you mean 'width'"):
        call_object("models.py:build", build, {"widht": 3}, tmp_path)
    with pytest.raises(WorkloadError, match=r"missing a required argument: 'width'; its signature is \(width\)"):
        call_object("models.py:build", build, {}, tmp_path)
    with pytest.raises(WorkloadError, match="is a int, which cannot be called"):
        call_object("models.py:seven", 7, {}, tmp_path)


def test_digest_follows_the_content_of_the_file(tmp_path):
    write(tmp_path, "models.py", "x = 1\n")
    first = source_digest("models.py:x", tmp_path)
    write(tmp_path, "models.py", "x = 2\n")

    assert source_digest("models.py:x", tmp_path) != first


def test_a_module_is_known_by_its_source_too(tmp_path, monkeypatch):
    (tmp_path / "own_module.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)

    first = source_digest("own_module:x", tmp_path)
    (tmp_path / "own_module.py").write_text("x = 2\n")

    assert source_digest("own_module:x", tmp_path) != first
    assert source_digest("sys:path", tmp_path) != source_digest("sys:argv", tmp_path)  # a module without a file


def test_a_package_that_is_worked_on_is_known_by_what_it_imports_from_itself(tmp_path, monkeypatch):
    (tmp_path / "src" / "worked_on").mkdir(parents=True)
    write(tmp_path / "src" / "worked_on", "__init__.py", "raise SystemExit('nothing is run')\n")
    write(tmp_path / "src" / "worked_on", "net.py", "from worked_on.blocks import act\nimport torch, pytest\n")
    write(tmp_path / "src" / "worked_on", "blocks.py", "act = 1\n")
    write(tmp_path, "own.py", "def f():\n    from worked_on import net\n")
    monkeypatch.syspath_prepend(tmp_path / "src")

    for reference in ("worked_on.net:Net", "own.py:f"):
        found = [path.name for path in sources_of(reference, tmp_path) if path.name != "own.py"]
        assert found == ["__init__.py", "blocks.py", "net.py"]
        assert package_of(reference, tmp_path) == {}


def test_an_installed_package_is_known_by_its_version(tmp_path):
    assert package_of("sklearn.svm:SVC", tmp_path) == {"scikit-learn": version("scikit-learn")}
    assert sources_of("sklearn.svm:SVC", tmp_path) == ()
    assert package_of("collections.abc:Sized", tmp_path) == {}


def test_what_lies_where_packages_were_installed_is_not_worked_on_whatever_its_folder_is_called(tmp_path, monkeypatch):
    (tmp_path / "prefix" / "put_there").mkdir(parents=True)
    (tmp_path / "prefix" / "put_there-1.0.dist-info").mkdir()
    write(tmp_path / "prefix" / "put_there", "__init__.py", "")
    write(tmp_path / "prefix" / "put_there-1.0.dist-info", "RECORD", "")
    monkeypatch.syspath_prepend(tmp_path / "prefix")

    assert sources_of("put_there:x", tmp_path) == ()


def test_sources_are_all_files_beside_it_that_a_file_imports(tmp_path):
    (tmp_path / "parts" / "deep").mkdir(parents=True)
    write(tmp_path, "models.py", "import torch\nfrom parts import blocks\ndef late():\n    import lazily\nx = 1\n")
    write(tmp_path, "lazily.py", "import models\n")  # a circle
    write(tmp_path, "unrelated.py", "x = 1\n")
    write(tmp_path / "parts", "__init__.py", "")
    write(tmp_path / "parts", "blocks.py", "from .deep.inner import width\nfrom . import cousin\n")
    write(tmp_path / "parts", "cousin.py", "")
    write(tmp_path / "parts" / "deep", "inner.py", "width = 3\n")

    found = [str(path.relative_to(tmp_path)) for path in sources_of("models.py:x", tmp_path)]

    assert found == [
        "lazily.py", "models.py", "parts/__init__.py", "parts/blocks.py", "parts/cousin.py", "parts/deep/inner.py",
    ]  # fmt: skip
    first = source_digest("models.py:x", tmp_path)
    write(tmp_path / "parts" / "deep", "inner.py", "width = 4\n")
    assert source_digest("models.py:x", tmp_path) != first
    assert [path.name for path in sources_of("parts.blocks:x", tmp_path)] == [
        "__init__.py",
        "blocks.py",
        "cousin.py",
        "inner.py",
    ]
    write(tmp_path, "broken.py", "def (:\n")
    assert [path.name for path in sources_of("broken.py:x", tmp_path)] == ["broken.py"]
    assert sources_of("missing.py:x", tmp_path) == ()
