"""How large a model's file is, by every count that people quote."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from condensa_core.bench.model_file import ModelFile
from condensa_core.bench.onnx_header import read_header
from condensa_core.bench.protobuf import mapped
from condensa_core.bench.stripped import stripped_bytes

ZSTD_LEVEL: Final = 12
LARGEST_TO_COMPRESS: Final = 1 << 29  # 512 MiB: tens of seconds
_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class FileSizes:
    """Bytes of a model. `file` counts the files that hold its weights, too; the other counts are of the same bytes.

    `stripped`: without doc strings, metadata and intermediate shapes, which no runtime needs; None for other files than
    ONNX. `zstd`: as zstd of level 12 packs each file; None above 512 MiB. `weights`: of the tensors alone.
    """

    file: int
    stripped: int | None
    zstd: int | None
    weights: int


def sizes_of(file: ModelFile) -> FileSizes:
    """The sizes of a file that `examine` has found sound."""
    parts, whole = [file.path, *_weight_files(file)], file_bytes(file)
    stripped = None
    if file.kind == "onnx":
        content = mapped(file.path)
        stripped = whole - len(content) + stripped_bytes(content)
    packed = sum(map(_zstd_bytes, parts)) if whole <= LARGEST_TO_COMPRESS else None
    return FileSizes(whole, stripped, packed, file.weight_bytes)


def file_bytes(file: ModelFile) -> int:
    """Bytes of the file and of those that hold its weights."""
    return sum(part.stat().st_size for part in (file.path, *_weight_files(file)))


def sha256_of(file: ModelFile) -> str:
    """Hexadecimal, over the bytes of the file and of those that hold its weights, one after another."""
    digest = hashlib.sha256()
    for part in (file.path, *_weight_files(file)):
        with part.open("rb") as opened:
            for chunk in iter(partial(opened.read, _CHUNK), b""):
                digest.update(chunk)
    return digest.hexdigest()


def _weight_files(file: ModelFile) -> list[Path]:
    """The other files that hold weights of an ONNX file, each once, by whatever names."""
    if file.kind != "onnx":
        return []
    locations = {part.location for part in read_header(file.path).external}
    paths = sorted((file.path.parent / location).resolve() for location in locations)
    return list({(told.st_dev, told.st_ino): path for path in paths for told in [path.stat()]}.values())


def _zstd_bytes(path: Path) -> int:
    import zstandard

    packer = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj(size=path.stat().st_size)
    with path.open("rb") as opened:
        packed = sum(len(packer.compress(chunk)) for chunk in iter(partial(opened.read, _CHUNK), b""))
    return packed + len(packer.flush())
