"""A model's file as it is found, before a runtime sees it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from condensa_core.bench.external_data import check_external
from condensa_core.bench.memory import REFERENCE, RESIDENT, require_memory
from condensa_core.bench.onnx_header import read_header
from condensa_core.bench.tensor_types import TensorSignature
from condensa_core.bench.torch_header import read_program_inputs
from condensa_core.errors import UsageError

Kind = Literal["onnx", "torch-program"]
KIND_NAMES: Final = {"onnx": "ONNX files (.onnx)", "torch-program": "programs of torch.export (.pt2)"}
_ZIP: Final = b"PK\x03\x04"
_OTHERS: Final = {b"<?xml": "an OpenVINO model in its own form", b"\x80\x02": "a pickle", b"\x89HDF": "an HDF5 file"}


@dataclass(frozen=True)
class ModelFile:
    """A file that reads as a model, and its inputs in order."""

    path: Path
    kind: Kind
    inputs: tuple[TensorSignature, ...]
    weight_bytes: int  # once loaded, of weights in other files too


def examine(path: str | Path) -> ModelFile:
    """What the file says of itself.

    UsageError for what is missing, empty, a directory or no model, and for weights that are not where it says.
    """
    path = Path(path)
    if path.is_dir():
        raise UsageError(f"{path} is a directory", hint="name the model's file in it")
    if not path.is_file():
        raise UsageError(f"no such file: {path}")
    with path.open("rb") as file:
        start = file.read(16)
    if not start:
        raise UsageError(f"{path} is empty", hint="export it again, or check the download")
    for mark, name in _OTHERS.items():
        if start.startswith(mark):
            raise UsageError(f"{path} is {name}", hint="give " + " or ".join(KIND_NAMES.values()))
    if start.startswith(_ZIP):
        return ModelFile(path, "torch-program", read_program_inputs(path), path.stat().st_size)
    header = read_header(path)
    check_external(path, header.external)
    return ModelFile(path, "onnx", header.inputs, header.weight_bytes)


def require_room(files: Iterable[ModelFile], *, judged: bool = True) -> None:
    """MachineError where all of these files together do not fit into memory.

    `judged`: each of them once more, one at a time, as what is computed node by node to hold its session against.
    """
    found = list(files)
    weights = [file.weight_bytes for file in found]
    what = str(found[0].path) if len(found) == 1 else f"these {len(found)} models together"
    require_memory(RESIDENT * sum(weights) + (REFERENCE * max(weights) if judged else 0), what)
