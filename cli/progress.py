"""Events as people follow them: live bars on a terminal, one line per event everywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as RemainingColumn
from rich.text import Text

from condensa_core.progress import (
    Advanced,
    Event,
    Listener,
    Note,
    OfTrial,
    PhaseEnded,
    PhaseStarted,
    TrialEnded,
    TrialStarted,
)
from condensa_core.report.quantities import metric_text

from .console import plain, stderr
from .problems import printable

# What people call a phase, and what it advances by; others go by their own name.
PHASES: Mapping[str, tuple[str, str]] = {
    "reference": ("reference training", "epoch"),
    "ranks": ("timing ranks", "kind of layer"),
    "profile": ("profile", "candidate"),
    "learn": ("L-C", "step"),
    "finetune": ("fine-tuning", "epoch"),
    "bench": ("bench", "round"),
    "engine": ("engine", "percent"),
}
# An L-C run advances hundreds of times: without --verbose a log gets one line of it per this many seconds.
LOG_INTERVAL_S = 5.0


@contextmanager
def display(*, quiet: bool = False, verbose: bool = False) -> Iterator[Listener]:
    """A listener that draws on stderr for as long as the block lasts.

    `quiet` leaves warnings only; `verbose` shows every event as a line. Bars need a terminal.
    """
    console = stderr()
    if quiet:
        yield Warnings(console)
    elif verbose or not console.is_terminal or console.is_dumb_terminal:
        yield Lines(console, every_event=verbose)
    else:
        with Bars(console) as bars:
            yield bars


class Warnings:
    """Draws nothing but warnings."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, event: Event) -> None:
        trial, event = _apart(event)
        if isinstance(event, Note) and event.level == "warning":
            self._console.print(_note(event, trial))


class Lines:
    """One line per event with the seconds since the start; advances are thinned to one per `LOG_INTERVAL_S`."""

    def __init__(
        self, console: Console, *, every_event: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._every_event = every_event
        self._clock = clock
        self._start = clock()
        self._last_line = self._start
        self._totals: dict[tuple[str, str], int | None] = {}  # by trial, where several are under way, and phase

    def __call__(self, event: Event) -> None:
        now = self._clock()
        trial, event = _apart(event)
        if isinstance(event, PhaseStarted):
            self._totals[trial, event.phase] = event.total
        thinned = not self._every_event and now - self._last_line < LOG_INTERVAL_S
        if isinstance(event, Advanced) and thinned:
            return
        line = _note(event, trial) if isinstance(event, Note) else plain(self._sentence(event, trial))
        if line:
            self._last_line = now
            self._console.print(Text.assemble((f"{now - self._start:8.1f} s  ", "dim"), line))

    def _sentence(self, event: Event, trial: str) -> str:
        if isinstance(event, PhaseStarted):
            return _joined(f"{trial}{_title(event.phase)}: started", event.detail)
        if isinstance(event, Advanced):
            total = self._totals.get((trial, event.phase))
            done = f"{event.done}/{total}" if total else str(event.done)
            title, unit = PHASES.get(event.phase, (event.phase, ""))
            shown = figures(event.values, everything=self._every_event)
            return f"{trial}{title} {unit} {done}".replace("  ", " ") + (f": {shown}" if shown else "")
        if isinstance(event, PhaseEnded):
            return _joined(f"{trial}{_title(event.phase)}: done", event.detail)
        if isinstance(event, TrialStarted):
            return _joined(f"trial {event.number} ({event.number + 1}/{event.budget}): started", figures(event.knobs))
        if isinstance(event, TrialEnded):
            return _ended(event)
        return ""


class Bars:
    """A bar for the trials and one per open phase, each with elapsed and remaining time; results scroll above."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            RemainingColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            console=console,
            transient=True,
        )
        self._phases: dict[tuple[str, str], TaskID] = {}  # by trial, where several are under way, and phase
        self._trials: TaskID | None = None
        self._ended = 0

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        trial, event = _apart(event)
        if isinstance(event, PhaseStarted):
            self._end(trial, event.phase)
            title = f"{trial}{_title(event.phase)}"
            self._phases[trial, event.phase] = self._progress.add_task(
                title, total=event.total, figures=printable(event.detail)
            )
        elif isinstance(event, Advanced):
            task = self._phases.get((trial, event.phase))
            if task is not None:
                self._progress.update(task, completed=event.done, figures=figures(event.values))
        elif isinstance(event, PhaseEnded):
            self._end(trial, event.phase)
            if event.detail:
                self._console.print(plain(f"{trial}{_title(event.phase)}: {event.detail}"))
        elif isinstance(event, TrialStarted):
            if self._trials is None:
                self._trials = self._progress.add_task("trials", total=event.budget, figures="")
            self._progress.update(self._trials, completed=self._ended, figures=figures(event.knobs))
        elif isinstance(event, TrialEnded):
            self._ended += 1
            if self._trials is not None:
                self._progress.update(self._trials, completed=self._ended)
            for left in [phase for of, phase in self._phases if of == _trial(event.number)]:  # its process died in it
                self._end(_trial(event.number), left)
            self._console.print(plain(_ended(event)))
        elif isinstance(event, Note):
            self._console.print(_note(event, trial))

    def _end(self, trial: str, phase: str) -> None:
        task = self._phases.pop((trial, phase), None)
        if task is not None:
            self._progress.remove_task(task)


def figures(values: Mapping[str, float | int | str | bool | None], *, everything: bool = False) -> str:
    """`sparsity 0.71, validation top1 97.22 %`; unknown figures are left out, and so is the penalty mu of L-C, which
    the program chooses, unless `everything` is asked for."""
    return ", ".join(
        printable(_figure(name, value))
        for name, value in values.items()
        if value is not None and (name != "mu" or everything)
    )


def _figure(name: str, value: float | int | str | bool) -> str:
    if not isinstance(value, float):
        return f"{name} {value}"
    if name.startswith("val_"):
        metric = name.removeprefix("val_")
        return f"validation {metric} {metric_text(metric, value)}"
    if name == "distance":  # ||weights - compressed|| / ||weights||
        return f"weights within {100 * value:.2g} % of their compressed form"
    return f"penalty mu {value:.4g}" if name == "mu" else f"{name} {value:.4g}"


def _title(phase: str) -> str:
    return PHASES.get(phase, (phase, ""))[0]


def _ended(trial: TrialEnded) -> str:
    """`trial 2: sparsity 0.94: holds the bound (...)`, or its bare figures where nobody judged it."""
    return f"trial {trial.number}: {trial.detail or _joined(trial.status, figures(trial.values))}"


def _note(note: Note, trial: str) -> Text:
    message = f"{trial}{note.message}"
    return plain(f"warning: {message}", "yellow") if note.level == "warning" else plain(message)


def _apart(event: Event) -> tuple[str, Event]:
    """What to say before the event, and the event itself: whose it is where several trials are under way."""
    return (_trial(event.number), event.event) if isinstance(event, OfTrial) else ("", event)


def _trial(number: int) -> str:
    return f"trial {number}: "


def _joined(head: str, detail: str) -> str:
    return f"{head}, {detail}" if detail else head
