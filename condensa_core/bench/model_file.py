"""A model's file as it is found, before a runtime sees it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from condensa_core.bench.onnx_header import read_header
from condensa_core.bench.tensor_types import TensorSignature
from condensa_core.errors import UsageError


@dataclass(frozen=True)
class ModelFile:
    """A file that reads as a model, and its inputs in order."""

    path: Path
    inputs: tuple[TensorSignature, ...]


def examine(path: str | Path) -> ModelFile:
    """What the file says of itself. UsageError for what is missing, empty, a directory or no model."""
    path = Path(path)
    if path.is_dir():
        raise UsageError(f"{path} is a directory", hint="name the model's file in it")
    if not path.is_file():
        raise UsageError(f"no such file: {path}")
    if not path.stat().st_size:
        raise UsageError(f"{path} is empty", hint="export it again, or check the download")
    return ModelFile(path, read_header(path).inputs)
