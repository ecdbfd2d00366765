"""What ONNX Runtime loads in this process is tried elsewhere before, where somebody has asked for it.

A runtime that crashes takes its process with it, so whoever can try a file in a child says how.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from condensa_core.errors import RunFailed

_attempts: list[Callable[[Path], object]] = []  # the innermost counts


@contextmanager
def trying_first(attempt: Callable[[Path], object]) -> Iterator[None]:
    """Inside, `tried_first` makes the attempt, which raises RunFailed for a file that must not be loaded here."""
    _attempts.append(attempt)
    try:
        yield
    finally:
        _attempts.pop()


def tried_first(source: str | Path | bytes) -> None:
    """Returns once the model, a path or the bytes of a whole file, may be loaded in this process; RunFailed if not.

    Bytes for which the disk has no room in a temporary file go untried.
    """
    if not _attempts:
        return
    if not isinstance(source, bytes):
        _attempts[-1](Path(source))
        return
    with ExitStack() as stack:
        try:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="condensa-try-"))) / "model.onnx"
            path.write_bytes(source)
        except OSError:
            return
        try:
            _attempts[-1](path)
        except RunFailed as err:
            err.hint = "the runtime is at fault: another version of it may load what this one cannot"  # no file is kept
            raise
