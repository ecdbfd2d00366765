"""`text`: the user's own text, in one file or a folder of files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from condensa_core.errors import WorkloadError
from condensa_core.workload.datasets.options import DataOptions
from condensa_core.workload.datasets.text_partition import parted
from condensa_core.workload.datasets.texts import Text, TextSet, TextSource
from condensa_core.workload.location import located

_VAL_NAMES: Final = ("val", "valid", "validation")


def load(options: DataOptions, directory: Path) -> TextSet:
    """A file, cut near its end; or a folder whose .txt files or subfolders are called train, val (valid, validation)
    and test (which may be missing); or any other folder, of which whole .txt files are held out.

    Subfolders are read with all .txt files in them, in the order of their names.
    """
    if options.path is None:
        raise WorkloadError("text needs a path", hint="name a .txt file, or a folder of .txt files")
    path = located(options.path, directory)
    if path.is_file():
        return parted({path.name: read(path)}, str(path), options.val_fraction)
    if not path.is_dir():
        raise WorkloadError(f"text: {path} does not exist", hint="paths are relative to the recipe's folder")
    train = _part(path, ("train",))
    if train is None:
        return parted(_files(path), str(path), options.val_fraction)
    val = _part(path, _VAL_NAMES)
    if val is None:
        raise WorkloadError(f"text: {path} has a part 'train' and none for validation", hint="add val.txt or val/")
    if options.val_fraction is not None:
        raise WorkloadError(f"text: {path} brings its own val part", hint="drop val_fraction")
    return TextSet(train, val, _part(path, ("test",)))


def read(path: Path) -> bytes:
    """The bytes of a file that holds some; WorkloadError with its path if not."""
    try:
        content = path.read_bytes()
    except OSError as err:
        raise WorkloadError(
            f"{path} cannot be read: {err.strerror or err}", hint="give plain text files that this user may read"
        ) from err
    if not content:
        raise WorkloadError(f"{path} is empty", hint="give files that hold text")
    return content


def _part(folder: Path, names: tuple[str, ...]) -> Text | None:
    """The file NAME.txt or all files under NAME/, for the first of `names` that is there."""
    for name in names:
        if (folder / f"{name}.txt").is_file():
            return Text(read(folder / f"{name}.txt"), str(folder / f"{name}.txt"))
        if (folder / name).is_dir():
            files = _files(folder / name)
            return Text(b"".join(files[entry] for entry in sorted(files)), str(folder / name))
    return None


def _files(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*.txt") if path.is_file())
    found = {path.relative_to(folder).as_posix(): read(path) for path in paths}
    if not found:
        raise WorkloadError(f"text: {folder} holds no .txt files", hint="name a file, or a folder with .txt files")
    return found


TEXT: Final = TextSource(
    name="text",
    load=load,
    takes=frozenset({"path", "level", "length", "vocabulary", "val_fraction"}),
)
