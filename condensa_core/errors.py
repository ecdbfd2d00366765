"""Every refusal condensa can make, drawn as one tree.

CondensaError
├── RecipeError          2   the recipe file must change; holds every problem found in it at once
├── PlanError            2   the recipe does not fit the model (also a located RecipeError by nature)
├── UsageError           2   the command line or a Python argument must change
│   └── ResumeError      2   this run directory cannot be continued as asked
├── SchemeError          2   a compression scheme was given impossible settings
├── WorkloadError        2   model, data, metric or weights cannot be used as referenced
│   └── UserCodeFailed   2   the user's Python raised; once work has begun it is RunFailed
├── MissingRuntime       3   a runtime or extra is not installed, or this machine cannot run it
├── MachineError         3   no disk, no permission, no device: known before work starts
├── RunFailed            4   failed while running; what was finished is kept
│   ├── Diverged         4   non-finite loss or weights; names the step
│   ├── OutOfMemory      4   an allocation was refused, by this machine or its GPU
│   ├── NotEquivalent    4   the shrunk model computes something else than the masked one
│   ├── ExportFailed     4   ONNX or torch.export refused the model
│   └── ParityError      4   the exported file computes something else than the PyTorch model
└── Interrupted        130   SIGINT, SIGTERM or SIGHUP; state was saved

The number is the exit code of the command that meets the error (1 is kept for "done, but a bound does not hold").
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal

# Colours and cursor movements (ECMA-48 control sequences): the exporters of torch write them into their messages.
_TERMINAL_CODES: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
# The hint of what no user has a part in.
OUR_FAULT: Final = "this should not happen: condensa doctor --bundle RUN_DIR collects what a report of it needs"


@dataclass(frozen=True)
class Place:
    """Where in a file something stands; `line` and `column` count from 1, `width` is the length of the underline."""

    file: str
    line: int
    column: int
    source: str = ""
    width: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Problem:
    """One mistake in a recipe, with its place and what to do about it."""

    code: str  # E101, W301, ...
    message: str
    place: Place
    help: tuple[str, ...] = field(default=())
    key_path: tuple[str | int, ...] = field(default=())

    @property
    def severity(self) -> Literal["error", "warning"]:
        return "error" if self.code.startswith("E") else "warning"


class CondensaError(Exception):
    """A refusal a user can act on: the message says what and where, the hint says what to do.

    `run_dir` is the run directory that it ended, and `continue_with` the command that goes on with it; None where there
    is no such thing.
    """

    exit_code: ClassVar[int] = 4

    def __init__(self, message: str, *, place: Place | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.hint = hint
        self.run_dir: str | None = None
        self.continue_with: str | None = None

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        return where + self.message + (f"; {self.hint}" if self.hint else "")


class RecipeError(CondensaError):
    """The recipe holds one or more mistakes; `problems` lists all of them in file order, warnings included."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        errors = [p for p in self.problems if p.severity == "error"]
        first = errors[0] if errors else None
        message = f"error[{first.code}]: {first.message}" if first else "invalid recipe"
        if len(errors) > 1:
            message += f" (and {len(errors) - 1} more)"
        super().__init__(message, place=first.place if first else None)


class PlanError(RecipeError):
    """The recipe is well-formed but does not fit the model it names."""


class UsageError(CondensaError):
    """The command line, or an argument of the Python interface, must change."""

    exit_code = 2


class ResumeError(UsageError):
    """A run directory cannot be continued: another version, another recipe, changed files, or in use."""


class SchemeError(CondensaError):
    """A scheme, criterion or structure was given settings outside its range."""

    exit_code = 2


class WorkloadError(CondensaError):
    """A model, data set, metric or weights file cannot be used as it is referenced.

    `key_path` leads to what is wrong in the recipe, where that is known better than by its section.
    """

    exit_code = 2
    key_path: tuple[str, ...] = ()


class UserCodeFailed(WorkloadError):
    """The user's Python raised an exception, or ended the program; the message names its file and line."""


class MissingRuntime(CondensaError):
    """A runtime is not installed or cannot run on this machine; the hint names the extra to install."""

    exit_code = 3


class MachineError(CondensaError):
    """This machine cannot do the work: disk, permission or device."""

    exit_code = 3


class RunFailed(CondensaError):
    """Work started and failed; everything finished before is kept and the run can be resumed.

    `details` are JSON values about the work that was lost.
    """

    exit_code = 4
    details: Mapping[str, Any] = MappingProxyType({})


class Diverged(RunFailed):
    """The loss or a weight became NaN or infinite; the message names the step."""


class OutOfMemory(RunFailed):
    """This machine, or its GPU, has no more memory to give."""


class NotEquivalent(RunFailed):
    """The physically smaller model does not compute what the masked model computes."""


class ExportFailed(RunFailed):
    """The model could not be exported, or the exported file is not valid."""


class ParityError(RunFailed):
    """An exported file does not compute what the PyTorch model computes."""


class Interrupted(CondensaError):
    """The user (or the system) asked the run to stop; state was saved at the last safe point."""

    exit_code = 130


def first_line(error: BaseException) -> str:
    """What an error of another library says, for a sentence of ours: the first line of its text that holds words,
    without terminal codes; the name of its class where it has no text."""
    lines = (line.strip() for line in _TERMINAL_CODES.sub("", str(error)).splitlines())
    return next((line for line in lines if line), type(error).__name__)
