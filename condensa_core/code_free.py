"""Programs of torch.export, loaded so that nothing in the file is run as code.

torch 2.13 loads a .pt2 file with full pickle where it finds one it cannot read otherwise, evaluates its expressions as
Python, looks its operators up by any name under `torch` (where `torch.os.system` is found) and runs compiled libraries.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from condensa_core.errors import UsageError, first_line

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_FORCED: Final = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"  # torch: weights_only=True whatever a call of torch.load says
_OPERATOR: Final = re.compile(
    r"torch\.ops\.(?!_)\w+\.(?!__)\w+(\.(?!__)\w+)?|torch\.(_?sym_\w+)|math\.[a-z]\w*"
    r"|_operator\.(?!attrgetter|methodcaller|call|itemgetter|_)\w+|_operator\.getitem"
)
_SYMBOLS: Final = re.compile(r"Symbol\('\w+'(?:, \w+=(?:True|False))*\)|Float\('[\d.e+-]+', precision=\d+\)")
_WORD: Final = re.compile(r"[A-Za-z_]\w*")
# Names in what is left: sizes by torch's naming, and functions; Python's own are in small letters, and `S` evaluates.
_SIZE: Final = re.compile(r"[a-z]{1,4}\d+|True|False|oo|zoo|and|or|not")
_FUNCTION: Final = frozenset({
    "Max", "Min", "Mod", "PythonMod", "FloorDiv", "CleanDiv", "CeilDiv", "ModularIndexing", "Where", "Integer", "Float",
    "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "And", "Or", "Not", "Abs", "Pow", "PowByNatural", "FloatPow", "FloatTrueDiv",
    "IntTrueDiv", "ToFloat", "TruncToInt", "FloorToInt", "CeilToInt", "RoundToInt", "RoundDecimal", "Identity",
    "LShift", "RShift", "Piecewise", "Rational", "floor", "ceiling", "sqrt", "Add", "Mul", "Equality", "Unequality",
    "LessThan", "GreaterThan", "StrictLessThan", "StrictGreaterThan", "TruncToFloat",
})  # fmt: skip
_MOST_TIMES_LARGER: Final = 4  # torch stores without compressing
_SPARE_BYTES: Final = 2**26


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
        raise UsageError(f"{path} is no program that torch loads: {first_line(err)}") from err


def _require_plain(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > _MOST_TIMES_LARGER * path.stat().st_size + _SPARE_BYTES:
            raise UsageError(f"{path} declares more than it can hold", hint="it was made to fill the memory")
        for member in members:
            if "aotinductor" in member.filename or member.filename.endswith((".so", ".pyd", ".dll", ".dylib")):
                raise UsageError(f"{path} holds compiled code, which is never run: {member.filename[-80:]}")
        programs = [member for member in members if re.search(r"(^|/)models/[^/]*\.json$", member.filename)]
        if not programs:
            raise UsageError(f"{path} is an archive, but no torch.export program")
        for member in programs:
            for key, text in _texts(json.loads(archive.read(member))):
                if not _is_plain(key, text):
                    raise UsageError(
                        f"{path} asks for {text[:80]!r}, which is no operator or size of a model",
                        hint="such a file runs code when torch loads it; it is not loaded",
                    )


def _texts(tree: Any) -> Iterator[tuple[str, str]]:
    """Every text in JSON values with its key; those in lists have the list's."""
    waiting: list[tuple[str, Any]] = [("", tree)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, str):
            yield key, value
        elif isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, list):
            waiting += ((key, item) for item in value)


def _is_plain(key: str, text: str) -> bool:
    if key in ("target", "as_operator"):
        return bool(_OPERATOR.fullmatch(text)) or "." not in text  # inputs and outputs have plain names as targets
    if key == "expr_str":
        return _is_arithmetic(text)
    return "default_factory" not in text  # a structure of inputs that names a function to import


def _is_arithmetic(text: str) -> bool:
    """Whether an expression is made of sizes, numbers and known functions."""
    rest = _SYMBOLS.sub("0", text)
    if not re.fullmatch(r"[\w\s+\-*/%(),<>=!&|~.]*", rest) or re.search(r"\.\s*[A-Za-z_]|[A-Za-z_)]\s*\.", rest):
        return False
    return all(_SIZE.fullmatch(word) or word in _FUNCTION for word in _WORD.findall(rest))


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
