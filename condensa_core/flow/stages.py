"""What a run does outside its trials, so that a crash there is told by its stage, and not walked into for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Final

from condensa_core.errors import CondensaError, RunFailed
from condensa_core.flow.last_words import LastWords, leaving_last_words, whoever_spoke
from condensa_core.progress import Listener, Note
from condensa_core.run_directory import RunDirectory

CRASH: Final = "crash.txt"  # of the process that works on the run, or crashed there last
BEFORE: Final = "crash-before.txt"  # of one that crashed earlier, until its stage is passed


class Stage(Enum):
    """In the order of a run; the value completes "while it was"."""

    READING = "reading the data and building the model"
    REFERENCE = "making the reference ready"
    RANKS = "timing layers by their rank"
    JUDGING = "exporting and judging the reference"
    PROFILE = "measuring the objective before the search"
    SEARCH = "searching, between trials"
    CONCLUSION = "measuring and writing the result"


Entering = Callable[[Stage], None]
_ORDER: Final = tuple(Stage)


@contextmanager
def stages_told(directory: RunDirectory, listener: Listener) -> Iterator[Entering]:
    """Inside, a crash of this process leaves its last words and the stage that was entered last, READING at first.

    Where an earlier process crashed, a warning says so, and the stage is tried once more. RunFailed where a second one
    crashed in the same stage and none has passed it in between, until somebody removes the words of the last.
    """
    path, earlier = directory.path / CRASH, directory.path / BEFORE
    last, before = _crash_at(path), _crash_at(earlier)
    if last is not None:
        if before is not None and before[0] is last[0]:
            raise _refusal(directory, *last)
        _warn(directory, listener, *last)
        before = last
        with suppress(OSError):  # costs the count, never the run
            path.replace(earlier)

    with leaving_last_words(path, Stage.READING.value) as say:

        def entering(stage: Stage) -> None:
            say(stage.value)
            if before is not None and _ORDER.index(stage) > _ORDER.index(before[0]):
                _forget(earlier)

        yield entering
        _forget(earlier)


def _crash_at(path: Path) -> tuple[Stage, LastWords] | None:
    found = whoever_spoke(path)
    stage = next((stage for stage in Stage if found is not None and stage.value == found[0]), None)
    return (stage, found[1]) if found is not None and stage is not None else None


def _warn(directory: RunDirectory, listener: Listener, stage: Stage, words: LastWords) -> None:
    text = (
        f"{words.signal} ended the process before while it was {stage.value}, at {words.place} (the stack is in "
        "run.log); it is tried once more. Native code that this line calls has crashed: if it does so again, "
        "change the line, or the version of the package that it calls"
    )
    with suppress(CondensaError):  # a log that cannot be written is no reason to lose a run
        directory.log(f"{text}\n{words.text}")
    listener(Note(text, level="warning"))


def _refusal(directory: RunDirectory, stage: Stage, words: LastWords) -> RunFailed:
    refusal = RunFailed(
        f"two processes in a row crashed while they were {stage.value}, the last by {words.signal} at {words.place}",
        hint="start a new run with other code, data or recipe; or, where another version of a package or another "
        f"machine may help, remove {directory.path / CRASH}",
    )
    with suppress(CondensaError):
        directory.log(f"{refusal}\n{words.text}")
    return refusal


def _forget(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
