"""Target: mutated ONNX files through `condensa bench`, each in the child process that the installed command makes."""

from __future__ import annotations

import io
import os
import random
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from commands import judged, verdict
from condensa_cli.apart import in_a_child
from condensa_cli.app import exit_code_of
from condensa_cli.problems import drawn_error
from fuzzing import Target
from onnx_models import OUTSIDE_BYTES, convolutions
from onnx_mutations import mutated_onnx

from condensa_core.errors import RunFailed

_ALLOWED: Final = (0, 1, 2, 3, 4)
_MEMORY_BYTES: Final = 4 * 2**30
_SHORT: Final = ("--seconds", "0.1", "--rounds", "3", "--no-memory", "--timeout", "10", "--quiet")
_MORE: Final = ((), (), (), ("--json",), ("--layers",), ("--batch", "2"), ("--compare",), ("--allow-mismatch",))


def _prepare(folder: Path) -> None:
    os.environ["NO_COLOR"] = "1"
    import onnxruntime  # noqa: F401 - loading it is no case's time

    from condensa_core import flow
    from condensa_core.bench import compare, parity

    assert flow.bench
    # What is timed is of no interest here: stretches of a hundredth of the length.
    compare.SAMPLE_S = compare.WARM_UP_S = 1e-4  # type: ignore[misc]
    parity.PLAIN_S = 0.01  # type: ignore[misc]
    (folder / "weights.bin").write_bytes(OUTSIDE_BYTES)
    if not (folder / "link").is_symlink():
        (folder / "link").symlink_to("/etc/hostname")
    base = folder / "base.onnx"
    base.write_bytes(convolutions().SerializeToString())
    for more in _MORE:  # here and not in a child, so that every child finds all modules loaded
        judged(["bench", str(base), *_SHORT, *(more if more != ("--compare",) else ())], _ALLOWED)


def _case(draw: random.Random, folder: Path) -> tuple[str, Callable[[], str]]:
    name, content = mutated_onnx(draw)
    path = folder / "m.onnx"
    path.write_bytes(content)
    more = draw.choice(_MORE)
    arguments = ["bench", str(path), *_SHORT, *more, *([str(folder / "base.onnx")] if more == ("--compare",) else [])]
    return name, lambda: _bench(arguments, folder)


def _bench(arguments: list[str], folder: Path) -> str:
    streams = folder / "out", folder / "err"
    died = ""

    def work() -> int:
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        for number, stream in enumerate(streams, start=1):
            os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), encoding="utf-8")
        sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", closefd=False), encoding="utf-8")
        return exit_code_of(arguments)

    try:
        code = in_a_child(work, "condensa bench")
    except RunFailed as err:
        code, died = err.exit_code, drawn_error(err).plain
    out, err_text = (stream.read_bytes().decode("utf-8", errors="replace") for stream in streams)
    as_json = "--json" in arguments and not died
    outcome = verdict(code, out, err_text + died, _ALLOWED, as_json=as_json)
    return f"{outcome} by a signal" if died else outcome


ONNX: Final = Target(
    "onnx", "condensa bench FILE.onnx", 10_000, limit_s=60.0, memory_bytes=6 * 2**30, prepare=_prepare, case=_case
)
