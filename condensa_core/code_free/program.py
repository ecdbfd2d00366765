"""Programs of torch.export, loaded so that nothing in the file is run as code.

torch 2.13 loads a .pt2 file with full pickle where it finds one it cannot read otherwise, evaluates its expressions as
Python, looks its operators up by any name under `torch` (where `torch.os.system` is found) and runs compiled libraries.
What may stand in its texts is in `plain_texts`.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from condensa_core.code_free.plain_texts import first_foreign_text
from condensa_core.code_free.swelling import require_no_swelling
from condensa_core.code_free.torch_archive import open_torch_archive
from condensa_core.errors import UsageError, first_line

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_FORCED: Final = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"  # torch: weights_only=True whatever a call of torch.load says


def load_program(path: Path) -> ExportedProgram:
    """The program in a file written by torch.export.save.

    UsageError for any other file, and for one with pickled code, compiled code, expressions that are no arithmetic or
    operators that are none of torch.
    """
    import torch

    try:
        _require_plain(path)
        with _weights_only():
            return torch.export.load(path)
    except UsageError:
        raise
    except Exception as err:  # zip, json and torch errors, by what is wrong with the file
        raise UsageError(
            f"{path} is no program that torch loads: {first_line(err)}",
            hint="save it with torch.export.save, by the version of torch that is installed here",
        ) from err


def _require_plain(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        require_no_swelling(sum(member.file_size for member in archive.infolist()), path)
        names = [member.filename.casefold() for member in archive.infolist()]
    _require_known_members(path, names)
    if len(set(names)) < len(names):
        raise UsageError(f"{path} holds two members of one name", hint="save the program again with torch.export.save")
    # Another reader may find other members under the same names, so they are read as torch will read them, too.
    reader = open_torch_archive(path)
    records = reader.get_all_records()
    _require_known_members(path, map(str.casefold, records))
    programs = [record for record in records if record.startswith("models/")]
    if not programs:
        raise UsageError(
            f"{path} is an archive, but no torch.export program",
            hint="save it with torch.export.save, by the version of torch that is installed here",
        )
    for record in dict.fromkeys([*programs, *(record for record in records if record.casefold().endswith(".json"))]):
        foreign = first_foreign_text(reader.get_record(record))
        if foreign is not None:
            raise UsageError(
                f"{path} asks for {foreign[:80]!r}, which is no operator, size or name of a model",
                hint="such a file may run code when torch loads it; it is not loaded",
            )


def _require_known_members(path: Path, names: Iterable[str]) -> None:
    """UsageError for a member whose name, in small letters, is of compiled code or of an older format."""
    for name in names:
        if "aotinductor" in name or name.endswith((".so", ".pyd", ".dll", ".dylib")):
            raise UsageError(
                f"{path} holds compiled code, which is never run: {name[-80:]}",
                hint="save the program with torch.export.save, before anything compiles it",
            )
        if name.endswith("serialized_exported_program.json"):
            raise UsageError(
                f"{path} is of the format that torch wrote before 2.8",
                hint="save the program again with torch.export.save",
            )


@contextmanager
def _weights_only() -> Iterator[None]:
    before = os.environ.get(_FORCED)
    os.environ[_FORCED] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_FORCED]
        else:
            os.environ[_FORCED] = before
