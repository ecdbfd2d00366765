"""Files are run in a child before this process loads them, where a run has asked for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from condensa_core.bench import BenchTarget
from condensa_core.bench.probe import Prober
from condensa_core.export.tried_first import trying_first
from condensa_core.run_directory import file_sha256

JUDGING: Final = BenchTarget(backend="onnxruntime", device="cpu", batch=2, threads=1)  # what scores a file

# Of this process, as what it guards against ends the process. In worker processes there is none: one that dies fails
# its trial, and nothing else.
_active: list[tuple[Prober, set[tuple[str, BenchTarget, int | None]]]] = []


@contextmanager
def probing() -> Iterator[None]:
    """Inside, a child process runs first what `probed` is given, and each model that ONNX Runtime would judge here."""
    if _active:  # the same child serves all of a process
        yield
        return
    with Prober() as prober, trying_first(partial(probed, target=JUDGING)):
        _active.append((prober, set()))
        try:
            yield
        finally:
            _active.pop()


def probed(path: Path, target: BenchTarget, batch: int | None = None) -> Path:
    """The path itself; RunFailed where a child process died of loading and running the file for `target`.

    Each content is run once for a target.
    """
    if _active:
        prober, known = _active[-1]
        key = file_sha256(path), target, batch
        if key not in known:
            prober.probe(path, target, batch)
            known.add(key)
    return path
