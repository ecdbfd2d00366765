"""Evaluations for worker processes, by what the point asks for; no model, so that workers start at once."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from condensa_core.errors import Diverged, UsageError
from condensa_core.progress import Advanced, Listener
from condensa_core.search import Reading, Trial


@dataclass(frozen=True)
class Told:
    """Does what the trial's point says under "do", in a folder where it leaves marks."""

    folder: Path

    def __call__(self, index: int, listener: Listener):
        (self.folder / f"worker-{index}-{os.getpid()}").touch()

        def evaluate(trial: Trial) -> Reading:
            listener(Advanced("learn", 1, {"trial": trial.number}))
            do, number = trial.point["do"], float(trial.point["x"])
            if do == "diverge":
                raise Diverged("the loss became NaN at step 3")
            if do == "kill" or (do == "kill once" and trial.attempt == 0):
                os.kill(os.getpid(), signal.SIGKILL)
            if do == "exit":
                sys.exit(7)
            if do == "bug":
                raise KeyError("a bug")
            if do == "odd":
                raise OddError(1, 2)
            if do == "misuse":
                raise UsageError("not like this", hint="but like that")
            if do == "print":
                print("on stdout")
            if do == "threads":
                number = float(os.environ["OMP_NUM_THREADS"])
            if do == "steps":
                for step in range(10_000):
                    (self.folder / f"step-of-{trial.number}").touch()
                    listener(Advanced("learn", step))
                    time.sleep(0.02)
            if do == "hang":
                (self.folder / f"step-of-{trial.number}").touch()
                time.sleep(600)
            if do == "wait":  # for another trial to come by
                while not (self.folder / "free").exists():
                    time.sleep(0.01)
            if do == "wait to be told":
                while not (self.folder / "told").exists():
                    time.sleep(0.01)
            (self.folder / "free").touch()
            return Reading(number, details={"process": os.getpid()})

        return evaluate


@dataclass(frozen=True)
class Broken:
    """Cannot be opened: it raises, or takes its process with it."""

    how: str

    def __call__(self, index: int, listener: Listener):
        if self.how == "dies":
            os.kill(os.getpid(), signal.SIGSEGV)
        raise UsageError("the data are not what they were")


class OddError(Exception):
    """Made from more than its message: pickle cannot make it again."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")
