"""Which files of a corpus are held out: whole files, the same ones on every machine and for every seed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from condensa_core.errors import WorkloadError
from condensa_core.workload.datasets.texts import Text, TextSet

TEST_FRACTION = 0.1
VAL_FRACTION = 0.1


def shuffled(names: Mapping[str, object]) -> list[str]:
    """The names in an order that is arbitrary but always the same: by their SHA-256."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())


def parted(files: Mapping[str, bytes], where: str, val_fraction: float | None = None) -> TextSet:
    """Files, by name, as train, val (this fraction of the bytes beside test, a tenth if None) and test (a tenth).

    A held out file is held out whole: neighbours in a file resemble each other. Too few or too large files for that
    are laid end to end in the order of their names, and the end is cut off. Names decide which file goes where.
    """
    total = sum(map(len, files.values()))
    test_size = total * TEST_FRACTION
    val_size = (total - test_size) * (val_fraction or VAL_FRACTION)
    room = {"test": test_size, "val": val_size}
    parts: dict[str, list[bytes]] = {"test": [], "val": [], "train": []}
    for name in shuffled(files):
        part = next((part for part in room if len(files[name]) <= room[part]), "train")
        parts[part].append(files[name])
        if part in room:
            room[part] -= len(files[name])
    if all(parts.values()):
        joined = {part: b"".join(contents) for part, contents in parts.items()}
    else:
        whole = b"".join(files[name] for name in sorted(files))
        first, second = (_character_start(whole, round(total - size)) for size in (test_size + val_size, test_size))
        joined = {"train": whole[:first], "val": whole[first:second], "test": whole[second:]}
    if not all(joined.values()):
        raise WorkloadError(
            f"{where} holds too little text to be split: {total} bytes", hint="give more text, or a shorter data.length"
        )
    return TextSet(*(Text(joined[part], where) for part in ("train", "val", "test")))


def _character_start(text: bytes, position: int) -> int:
    """`position`, or the first one after it at which a character of UTF-8 begins."""
    while position < len(text) and text[position] & 0xC0 == 0x80:
        position += 1
    return position
