"""Typed events the core emits while it works; nobody in the core prints.

A listener is any callable that takes an event. Listeners are called in the thread that does the work, must not raise
(except `Interrupted`, by which a front end stops the run at the next event) and should return quickly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar


@dataclass(frozen=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True)
class PhaseStarted(Event):
    """A named stretch of work begins; `total` counts the `Advanced` events to come, None if unknown."""

    phase: str
    total: int | None = None
    detail: str = ""


@dataclass(frozen=True)
class Advanced(Event):
    """One more unit of the phase is done: `done` of the phase's total, with figures worth showing."""

    phase: str
    done: int
    values: Mapping[str, float | int | str] = field(default_factory=dict)


@dataclass(frozen=True)
class PhaseEnded(Event):
    """The phase is over; `detail` is its result in a few words."""

    phase: str
    detail: str = ""


@dataclass(frozen=True)
class TrialStarted(Event):
    """The search asks for trial `number` (from 0) of at most `budget` at these knob values."""

    number: int
    budget: int
    knobs: Mapping[str, float | int | str]


@dataclass(frozen=True)
class TrialEnded(Event):
    """Trial `number` ended with `status` ok | failed | aborted | reused and these figures.

    `detail` is its result in words.
    """

    number: int
    status: str
    values: Mapping[str, float | int | str | bool | None]
    detail: str = ""


@dataclass(frozen=True)
class Note(Event):
    """Something the user should know; `level` is info or warning."""

    message: str
    level: str = "info"


@dataclass(frozen=True)
class OfTrial(Event):
    """An event of trial `number`, which is not the only one under way."""

    number: int
    event: Event


@dataclass(frozen=True)
class Waiting(Event):
    """Others are at work and nothing happened: nothing to show, but a front end may stop the run here."""


@dataclass(frozen=True)
class MidStep(Waiting):
    """In the middle of an L step: its state is saved at its end, and what it did so far is lost where it stops here."""


@dataclass(frozen=True)
class Begun(Event):
    """From here on what is finished is kept: there is a run directory."""


Listener = Callable[[Event], None]
_T = TypeVar("_T")


def stoppable(items: Iterable[_T], listener: Listener, event: Event = Waiting()) -> Iterator[_T]:
    """The items; before each the listener is told, so that a front end may stop there."""
    for item in items:
        listener(event)
        yield item


def silent(event: Event) -> None:
    """The listener that ignores everything."""
