"""Trials in processes of their own: several at once, and one that crashes takes no other with it."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Final

from condensa_core.errors import RunFailed
from condensa_core.progress import Listener, OfTrial, Waiting, silent
from condensa_core.search.executors import Evaluate, Executor
from condensa_core.search.observation import Reading, Trial
from condensa_core.search.worker import STOP

# Made in the worker by the call: (index of the worker, 0 <= index < capacity; its listener) -> what evaluates.
Opening = Callable[[int, Listener], Evaluate]

# How long workers may take to their next event, and from there to their end, before they are killed.
GRACE_S: Final = 10.0
# How often a listener is called while nothing happens.
_HEARTBEAT_S: Final = 0.25
_START: Final = "import sys; sys.path[:] = {path!r}; from condensa_core.search.worker import work; work({handle})"


class InWorker(Exception):
    """The cause of an error that was raised in a worker: its traceback there, as text."""

    def __str__(self) -> str:
        return "\n" + "".join(self.args)


class Processes(Executor):
    """Up to `capacity` worker processes, each with one trial at a time; to be used as a context manager.

    A worker is a fresh interpreter (never a fork, which threads of torch would not survive) that is sent `opening`,
    pickled, and calls it once; it starts with the first trial that finds no other idle. It has `threads` threads for
    numerical libraries, and no standard input; what it prints goes to stderr. Its events come to `listener` as OfTrial,
    in the process and thread that calls `wait`.
    A worker that dies fails the attempt at its trial, with the details that `lost` still knows of it, and another takes
    its place, and the trial if it died between two; one that dies before it could take its first is RunFailed. What
    else a trial raises is raised again by `wait`. Leaving the block stops the workers at their next event, or kills
    them after `grace_s`, at once after a KeyboardInterrupt. They also end when this process does, however it ends.
    """

    def __init__(
        self,
        opening: Opening,
        capacity: int,
        *,
        threads: int = 1,
        listener: Listener = silent,
        grace_s: float = GRACE_S,
        lost: Callable[[Trial], Mapping[str, Any]] = lambda trial: {},
    ) -> None:
        self.capacity = capacity
        self._opening = opening
        self._threads = threads
        self._listener = listener
        self._grace_s = grace_s
        self._lost = lost
        self._workers: dict[int, _Worker] = {}  # by index
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Processes:
        # What a killed worker leaves behind goes with this folder.
        self._temporary = tempfile.TemporaryDirectory(prefix="condensa-workers-")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None or not issubclass(kind, KeyboardInterrupt):
                self._stop()
        finally:
            for worker in self._workers.values():
                worker.kill()
            self._workers.clear()
            if self._temporary is not None:
                self._temporary.cleanup()

    def start(self, trial: Trial) -> None:
        idle = next((worker for worker in self._workers.values() if worker.trial is None), None)
        if idle is not None and idle.process.poll() is not None:
            self._dismiss(idle)
            idle = None
        worker = idle or self._hired()
        worker.trial, worker.taken = trial, False
        worker.send(trial)

    def wait(self) -> tuple[Trial, Reading | RunFailed]:
        while True:
            busy = [worker for worker in self._workers.values() if worker.trial is not None]
            ready = wait([worker.connection for worker in busy], timeout=_HEARTBEAT_S)
            if not ready:
                self._listener(Waiting())
            for worker in busy:
                answer = None
                if worker.connection in ready:
                    answer = self._heard(worker)
                elif worker.process.poll() is not None and not worker.connection.poll():
                    answer = self._buried(worker)  # a process that it left behind may still hold its end
                if answer is not None:
                    return answer

    def _heard(self, worker: _Worker) -> tuple[Trial, Reading | RunFailed] | None:
        """The next message of a worker; its trial's end, if that is what it says."""
        trial = worker.trial
        assert trial is not None
        try:
            kind, *content = pickle.loads(worker.connection.recv_bytes())
        except (EOFError, ConnectionError):
            return self._buried(worker)
        if kind == "opened":
            worker.opened = True
        elif kind == "taken":
            worker.taken = True
        elif kind == "event":
            self._listener(OfTrial(trial.number, *content))
        elif kind in ("read", "failed"):
            worker.trial, worker.served = None, True
            return trial, content[0] if kind == "read" else _failure(*content)
        elif kind == "raised":
            error, trace = content
            raise error from InWorker(trace)
        return None

    def _buried(self, worker: _Worker) -> tuple[Trial, RunFailed] | None:
        """What its death makes of its trial; None where it died idle, and the trial is another's now."""
        self._dismiss(worker)
        died = f"the worker process {worker.fate()}"
        assert worker.trial is not None
        if worker.served and not worker.taken:
            self.start(worker.trial)
            return None
        if not worker.opened:
            raise RunFailed(
                f"{died} before it could begin trial {worker.trial.number}",
                hint="run without --parallel to see why, or with fewer trials at once if memory is short",
            )
        return worker.trial, _failure(died, self._lost(worker.trial))

    def _hired(self) -> _Worker:
        index = next(i for i in range(self.capacity) if i not in self._workers)
        assert self._temporary is not None, "workers are hired inside the context"
        worker = self._workers[index] = _Worker.begun(index, self._threads, self._temporary.name)
        worker.send((index, self._opening))
        return worker

    def _dismiss(self, worker: _Worker) -> None:
        worker.kill()
        del self._workers[worker.index]

    def _stop(self) -> None:
        for worker in self._workers.values():
            worker.say(STOP)
        deadline = time.monotonic() + self._grace_s
        for worker in self._workers.values():
            worker.drain(deadline)


def _failure(message: str, details: Mapping[str, Any]) -> RunFailed:
    error = RunFailed(message)
    error.details = dict(details)
    return error


@dataclass(eq=False)
class _Worker:
    """A process and the way to talk to it."""

    index: int
    process: subprocess.Popen[bytes]
    connection: Connection
    trial: Trial | None = None
    opened: bool = False
    taken: bool = False  # the trial, by the process
    served: bool = False  # a trial before this one

    @classmethod
    def begun(cls, index: int, threads: int, temporary: str) -> _Worker:
        mine, its = socket.socketpair()
        with its:
            code = _START.format(path=[os.path.abspath(entry) for entry in sys.path], handle=its.fileno())  # noqa: PTH100
            warnings = [f"-W{option}" for option in sys.warnoptions]
            counts = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
            process = subprocess.Popen(
                [sys.executable, *warnings, "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=2,  # the result of a command is alone on stdout
                pass_fds=[its.fileno()],
                env=os.environ | counts | {"TMPDIR": temporary},
                start_new_session=True,  # Ctrl-C is for this process, which stops the workers
            )
        return cls(index, process, Connection(mine.detach()))

    def send(self, message: Any) -> None:
        """In plain pickle: torch teaches `Connection.send` to share tensors through files of the sender."""
        self.say(pickle.dumps(message))

    def say(self, message: bytes) -> None:
        """A worker that died meanwhile is noticed by whoever waits for its answer."""
        with contextlib.suppress(ConnectionError):
            self.connection.send_bytes(message)

    def drain(self, deadline: float) -> None:
        """Hear what it still says, so that it is not held up in saying it, until it hangs up."""
        with contextlib.suppress(EOFError, ConnectionError):
            while (left_s := deadline - time.monotonic()) > 0 and self.connection.poll(left_s):
                self.connection.recv_bytes()

    def kill(self) -> None:
        """End it if it has not ended, and leave nothing of it; a second time is harmless."""
        self.connection.close()
        if self.process.poll() is None:
            # Having hung up it may be about to end by itself, and then its status says more than our signal.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1.0)
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)  # it leads a session: what it has started goes too
        self.process.wait()

    def fate(self) -> str:
        """How it ended, in words."""
        code = self.process.wait()
        if code >= 0:
            return f"ended with exit code {code}"
        name = signal.Signals(-code).name
        hint = ", perhaps for want of memory" if name == "SIGKILL" else ""
        return f"was killed by {name}{hint}"
