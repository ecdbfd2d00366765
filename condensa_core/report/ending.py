"""How a command ended that has no result, as one frozen record that is also a JSON document (`condensa.error/1`)."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from condensa_core.errors import CondensaError, Interrupted, Problem, RecipeError, UsageError, UserCodeFailed
from condensa_core.report.outcome import Outcome, read_document

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA: Final = "condensa.error/1"
RESULT: Final = "result.json"
ExitCode = Literal[2, 3, 4, 70, 130]
EndingStatus = Literal["error", "failed", "interrupted", "bug"]
CODES: Final[tuple[tuple[EndingStatus, ExitCode], ...]] = (
    ("error", 2),
    ("error", 3),
    ("failed", 4),
    ("bug", 70),
    ("interrupted", 130),
)


@dataclass(frozen=True)
class ProblemResult:
    """One mistake in a recipe; lines and columns count from 1, `end_column` is the first one after the underline.

    `key_path` leads to it through the recipe: keys, and positions in lists.
    """

    code: str
    severity: Literal["error", "warning"]
    file: str
    line: int
    column: int
    end_column: int
    message: str
    help: tuple[str, ...] = ()
    key_path: tuple[str | int, ...] = ()


@dataclass(frozen=True)
class Ending:
    """A refusal, a failure, an interruption or a bug, in place of a result.

    `error` is the kind of it, `place` where in a file it is, `hint` what to do. `problems` are those of a recipe.
    `run_dir` is the run that it ended, null where there was none yet; `continue_with` is the command that goes on with
    the run, null where there is nothing to go on with.
    """

    status: EndingStatus
    exit_code: ExitCode
    reasons: tuple[str, ...]
    error: str
    place: str | None = None
    hint: str | None = None
    problems: tuple[ProblemResult, ...] = ()
    run_dir: str | None = None
    continue_with: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data for `json.dumps`."""
        return {"schema": SCHEMA, **asdict(self)}

    @staticmethod
    def from_json(document: Mapping[str, Any], *, file: str = RESULT) -> Ending:
        """The record of a document written by `to_json`; unknown keys are ignored, UsageError if it is none."""
        from pydantic import ValidationError

        try:
            return _adapter().validate_python({k: v for k, v in document.items() if k != "schema"})
        except ValidationError as err:
            first = err.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise UsageError(
                f"{file} is damaged at '{where}': {first['msg']}",
                hint="move the file away: condensa resume writes it again from the journal",
            ) from err


def ending_of(error: CondensaError) -> Ending:
    """A refusal as a record; one of a recipe has every error as a reason."""
    problems = error.problems if isinstance(error, RecipeError) else ()
    reasons = [f"{p.place}: {p.message}" for p in problems if p.severity == "error"] or [error.message]
    status, code = next((status, code) for status, code in CODES if code == error.exit_code)
    return Ending(
        status,
        code,
        tuple(reasons),
        type(error).__name__,
        str(error.place) if error.place else None,
        error.hint,
        tuple(problem_result(problem) for problem in problems),
        error.run_dir,
        error.continue_with,
    )


def ending_of_bug(error: BaseException, *, run_dir: str | None = None, continue_with: str | None = None) -> Ending:
    """An exception that nobody expected, as a record."""
    report = "please report it with the command you ran"
    if run_dir is not None:
        report = f"please report it with what this collects: {shlex.join(['condensa', 'doctor', '--bundle', run_dir])}"
    return Ending(
        "bug",
        70,
        (what_broke(error),),
        type(error).__name__,
        hint=f"this is a bug in condensa; {report}",
        run_dir=run_dir,
        continue_with=continue_with,
    )


def refusal_of(error: BaseException) -> CondensaError | None:
    """What an exception is to the user: itself, an interruption, or of the user's Python; None for a bug."""
    if isinstance(error, CondensaError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("interrupted at once")
    if isinstance(error, SystemExit):  # not ours: of the user's Python, where nothing else caught it
        told = f"the Python of the recipe ended the program: {error.code!r}"
        return UserCodeFailed(told, hint="let it raise instead")
    return None


def continued(hint: str | None, command: str) -> str:
    """The hint, with the command that goes on unless it says so."""
    if hint and "continue with: " in hint:
        return hint
    told = f"continue with: {command}"
    return f"{hint}, then {told}" if hint else told


def what_broke(error: BaseException) -> str:
    """An unexpected exception in one line."""
    first = (str(error).splitlines() or [""])[0]
    return f"internal error: {type(error).__name__}: {first}" if first else f"internal error: {type(error).__name__}"


def problem_result(problem: Problem) -> ProblemResult:
    """One mistake of a recipe as a record."""
    place = problem.place
    return ProblemResult(
        problem.code,
        problem.severity,
        place.file,
        place.line,
        place.column,
        place.column + place.width,
        problem.message,
        tuple(problem.help),
        tuple(problem.key_path),
    )


def read_result(path: Path) -> Outcome | Ending:
    """What a `result.json` says: how a run turned out, or what ended it before; UsageError if it is neither."""
    document = read_document(path)
    if document.get("schema") == SCHEMA:
        return Ending.from_json(document, file=str(path))
    return Outcome.from_json(document, file=str(path))


def document_of(ending: Ending) -> str:
    """The text of a `result.json`, in ASCII: reasons may hold what no file in UTF-8 can."""
    return json.dumps(ending.to_json(), indent=2) + "\n"


@cache
def _adapter() -> TypeAdapter[Ending]:
    """Checks and converts the record; built on first use, as in `outcome`."""
    from pydantic import TypeAdapter

    return TypeAdapter(Ending)
