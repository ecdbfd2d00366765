"""A run directory tells how its run ended, also where it ended too early for a result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from condensa_core.errors import CondensaError, Interrupted, MachineError, RunFailed, UsageError
from condensa_core.report.ending import (
    RESULT,
    Ending,
    continued,
    document_of,
    ending_of,
    ending_of_bug,
    read_result,
    refusal_of,
)
from condensa_core.run_directory import MANIFEST, RunDirectory
from condensa_core.whole_file import remedy


@contextmanager
def ending_told(directory: RunDirectory, *, resumed: bool) -> Iterator[None]:
    """What leaves the block as an exception leaves result.json behind, an `Ending`; and refusals learn of the run.

    A result that is there stands, whatever it says; an earlier ending gives way. Where the disk refuses, there is none.
    """
    try:
        yield
    except BaseException as err:
        going_on = _going_on(directory, err, resumed=resumed)
        ending = _ending(directory, err, going_on)
        if not _result_stands(directory.path):
            with suppress(CondensaError):
                directory.write_text(RESULT, document_of(ending))
        raise


def forget_ending(directory: RunDirectory) -> None:
    """The run goes on: it has not ended as result.json says, where that holds no result. MachineError where the disk
    refuses."""
    if not _result_stands(directory.path):
        path = directory.path / RESULT
        try:
            path.unlink(missing_ok=True)
        except OSError as err:
            raise MachineError(f"cannot replace {path}: {err.strerror}", hint=remedy(err)) from err


def _going_on(directory: RunDirectory, err: BaseException, *, resumed: bool) -> str | None:
    """The command that goes on, None where there is nothing to go on with: a recipe that is refused is so again."""
    refused = isinstance(err, CondensaError) and not isinstance(err, (RunFailed, Interrupted))
    begun = (directory.path / MANIFEST).is_file() and (resumed or not refused)
    return directory.resumed_by if begun else None


def _ending(directory: RunDirectory, err: BaseException, going_on: str | None) -> Ending:
    """The record of it; a refusal is told the run and, where work had begun, how to go on."""
    run_dir = str(directory.path)
    refusal = refusal_of(err)
    if refusal is None:
        return ending_of_bug(err, run_dir=run_dir, continue_with=going_on)
    refusal.run_dir, refusal.continue_with = run_dir, going_on
    if going_on is not None and isinstance(refusal, (RunFailed, Interrupted)):
        refusal.hint = continued(refusal.hint, going_on)
    return ending_of(refusal)


def _result_stands(folder: Path) -> bool:
    path = folder / RESULT
    try:
        return path.is_file() and not isinstance(read_result(path), Ending)
    except UsageError:  # damaged, or of another version: not ours to replace
        return True
