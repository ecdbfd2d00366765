"""A file loaded and run once in a process of its own: a runtime that crashes takes nobody with it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

from condensa_core.bench.inputs import InputRequest, prepare
from condensa_core.bench.model_file import examine
from condensa_core.bench.runner import open_runner
from condensa_core.bench.target import BenchTarget
from condensa_core.errors import CondensaError, RunFailed

TIMEOUT_S: Final = 600.0  # engines are built at the first load
_START: Final = "import sys; sys.path[:] = {path!r}; from condensa_core.bench.probe import serve; serve()"
_READY: Final = "ready\n"


class Prober:
    """A child process that loads and runs files for one that will live longer; a context manager.

    It starts with the first file, and anew after it has died.
    """

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._child: subprocess.Popen[str] | None = None

    def probe(self, path: Path, target: BenchTarget, batch: int | None = None) -> None:
        """Returns once the child has run the file, or was refused it: then this process will be told why.

        RunFailed where the child died of it, or did not come back in time. Nothing is tried where this system lets no
        child start.
        """
        child = self._child if self._child and self._child.poll() is None else self._started()
        if child is None:
            return
        asked = {"path": str(path.absolute()), "target": asdict(target), "batch": batch or target.batch}
        try:
            _written(child).write(json.dumps(asked) + "\n")
            _written(child).flush()
            ready, _, _ = select.select([_read(child)], [], [], self._timeout_s)
            answer = _read(child).readline() if ready else None
        except BrokenPipeError:
            answer = ""
        if answer:
            return
        if answer is None:
            child.kill()
        code = child.wait()
        self._close()
        if answer is None:
            raise RunFailed(
                f"{target.backend} did not come back from {path.name} within {self._timeout_s:.0f} s",
                hint="time the file alone with condensa bench, to see whether the runtime or the machine is at fault",
            )
        fate = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended its process with code {code}"
        raise RunFailed(
            f"{target.backend} {fate} while it loaded and ran {path.name}, in a process of its own",
            hint="the file is kept: condensa bench runs it again",
        )

    def _started(self) -> subprocess.Popen[str] | None:
        self._close()
        try:
            child = subprocess.Popen(
                [sys.executable, "-c", _START.format(path=sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        except OSError:
            return None
        self._child = child
        if _read(child).readline() != _READY:
            self._close()
        return self._child

    def _close(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()  # it holds nothing that anybody misses
        child.wait()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:  # what it was asked last never reached it
                    continue

    def __enter__(self) -> Prober:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()


def _written(child: subprocess.Popen[str]) -> IO[str]:
    assert child.stdin is not None
    return child.stdin


def _read(child: subprocess.Popen[str]) -> IO[str]:
    assert child.stdout is not None
    return child.stdout


def _answer(asked: dict[str, Any]) -> str:
    target, path = BenchTarget(**asked["target"]), Path(asked["path"])
    try:
        try:
            file = examine(path)
        except CondensaError:  # a part of a model, of constants alone say, is loaded all the same
            _load_alone(path)
            raise
        feeds = prepare({"it": file.inputs}, InputRequest(batch=asked["batch"])).feeds["it"]
        with open_runner(target, file.path, feeds) as runner:
            runner.run()
            runner.outputs()
    except Exception as err:  # an error is no crash: whoever asked meets it again, and tells it
        return f"refused: {type(err).__name__}" if isinstance(err, CondensaError) else "raised"
    return "ran"


def _load_alone(path: Path) -> None:
    """Loads what is no whole model, and runs it where it takes no inputs; any error where ONNX Runtime refuses it."""
    if path.suffix != ".onnx":
        return
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    if not session.get_inputs():
        session.run(None, {})


def serve() -> None:
    """What the child does until its stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a runtime prints is no answer
    answers.write(_READY)
    answers.flush()
    for line in sys.stdin:
        answers.write(_answer(json.loads(line)) + "\n")
        answers.flush()
