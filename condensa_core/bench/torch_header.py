"""The inputs of a torch.export program, read from its file without torch.

Source: the archive format of torch.export.save, `models/*.json` of torch 2.9 to 2.13 (torch/_export/serde/schema.py).
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from condensa_core.bench.tensor_types import TensorSignature
from condensa_core.errors import UsageError

# ScalarType of the schema, by number, as ONNX names the same types.
_ELEMENTS: Final = {
    1: "UINT8", 2: "INT8", 3: "INT16", 4: "INT32", 5: "INT64", 6: "FLOAT16", 7: "FLOAT", 8: "DOUBLE", 12: "BOOL",
    13: "BFLOAT16", 28: "UINT16", 34: "UINT32", 35: "UINT64",
}  # fmt: skip
_SYMBOL: Final = re.compile(r"Symbol\('(\w+)'(?:, \w+=\w+)*\)|(\w+)")


def read_program_inputs(path: Path) -> tuple[TensorSignature, ...]:
    """Of a file written by torch.export.save; UsageError for any other archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            (member,) = (name for name in archive.namelist() if re.search(r"(^|/)models/[^/]*\.json$", name))
            graph = json.loads(archive.read(member))["graph_module"]
        values = graph["graph"]["tensor_values"]
        given = (spec["user_input"]["arg"] for spec in graph["signature"]["input_specs"] if "user_input" in spec)
        return tuple(_signature(argument, values) for argument in given)
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError, OSError) as err:
        raise UsageError(
            f"{path} is an archive, but no torch.export program",
            hint="a checkpoint holds weights alone: write the model with torch.export.save, or export it to ONNX",
        ) from err


def _signature(argument: Mapping[str, Any], values: Mapping[str, Any]) -> TensorSignature:
    if "as_tensor" not in argument:
        return TensorSignature(str(next(iter(argument.values()))), "no tensor", ())
    name = argument["as_tensor"]["name"]
    sizes = values[name]["sizes"]
    return TensorSignature(name, _ELEMENTS.get(values[name]["dtype"], "no tensor"), tuple(map(_size, sizes)))


def _size(size: Mapping[str, Any]) -> int | str | None:
    if "as_int" in size:
        return int(size["as_int"])
    symbol = _SYMBOL.fullmatch(size["as_expr"]["expr_str"])
    return (symbol[1] or symbol[2]) if symbol else None  # a sum or product of symbols has no name
