"""The members of a file written by torch, as torch's own reader finds them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from condensa_core.code_free.swelling import require_no_swelling
from condensa_core.errors import UsageError

if TYPE_CHECKING:
    from torch._C import PyTorchFileReader

_ZIP = b"PK\x03\x04"


def is_torch_archive(path: Path) -> bool:
    """Whether torch.load would read it as a zip archive: that is decided by its first bytes alone."""
    with path.open("rb") as file:
        return file.read(len(_ZIP)) == _ZIP


def open_torch_archive(path: Path) -> PyTorchFileReader:
    """The reader that torch loads with: an archive can be made in which Python's zipfile finds other members.

    UsageError where two members differ in case only, which torch takes for one, or would fill the memory; RuntimeError
    where torch reads no archive.
    """
    import torch

    reader = torch._C.PyTorchFileReader(str(path))
    records = reader.get_all_records()
    if len({record.casefold() for record in records}) < len(records):
        raise UsageError(f"{path} holds two members of one name", hint="save it again with torch.save")
    require_no_swelling(sum(reader.get_record_size(record) for record in records), path)
    return reader
