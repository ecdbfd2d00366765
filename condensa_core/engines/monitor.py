"""TensorRT's progress as our events, and our refusal to go on as its cancelling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, TypeVar

from condensa_core.progress import Advanced, Listener

PHASE: Final = "engine"
PERCENT: Final = 100
T = TypeVar("T")


@dataclass
class _Phase:
    steps: int
    parent: str | None
    done: int = 0


class Advance:
    """How much of nested phases is done: a phase below another is a part of one of its steps."""

    def __init__(self) -> None:
        self._phases: dict[str, _Phase] = {}
        self._highest = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        self._phases[name] = _Phase(max(steps, 1), parent)

    def step(self, name: str) -> None:
        if name in self._phases:
            self._phases[name].done += 1

    def finish(self, name: str) -> None:
        self._phases.pop(name, None)

    @property
    def percent(self) -> int:
        """0 to 100, never less than before: TensorRT goes over some phases twice."""
        roots = [name for name, phase in self._phases.items() if phase.parent not in self._phases]
        self._highest = max([self._highest, *(self._part(name) for name in roots)])
        return int(PERCENT * self._highest)

    def _part(self, name: str) -> float:
        phase = self._phases[name]
        below = sum(self._part(child) for child, other in self._phases.items() if other.parent == name)
        return min((phase.done + min(below, 1.0)) / phase.steps, 1.0)


class Watch:
    """What passes between the thread that builds and the one that waits: progress one way, a cancelling the other."""

    def __init__(self) -> None:
        self.cancelled = False
        self.steps: SimpleQueue[tuple[int, str] | None] = SimpleQueue()  # percent and phase; None at the end


def supervised(work: Callable[[], T], watch: Watch, listener: Listener) -> T:
    """What `work` returns or raises, done in a thread of its own while this one tells the listener each percent.

    What the listener raises, or a signal raises meanwhile, cancels the work at its next step and is raised when it has
    ended. In one thread that could not be: TensorRT swallows what is raised in its callbacks, and most signals of a
    build would arrive in one.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as err:
            errors.append(err)
        finally:
            watch.steps.put(None)

    thread = Thread(target=run, name="engine")
    thread.start()
    try:
        while (step := watch.steps.get()) is not None:
            listener(Advanced(PHASE, step[0], {"step": step[1]}))
    finally:
        watch.cancelled = True  # after its end this cancels nothing
        thread.join()
    if errors:
        raise errors[0]
    return results[0]


def monitor(module: Any, watch: Watch) -> Any:
    """An IProgressMonitor for TensorRT, which tells `watch` each percent and stops where that is cancelled."""

    class Monitor(module.IProgressMonitor):
        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)  # super() leaves the native half unmade
            self._advance = Advance()
            self._told = 0

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            self._advance.start(name, parent, steps)

        def step_complete(self, name: str, _step: int) -> bool:
            self._advance.step(name)
            percent = self._advance.percent
            if percent > self._told:
                self._told = percent
                watch.steps.put((percent, name))
            return not watch.cancelled

        def phase_finish(self, name: str) -> None:
            self._advance.finish(name)

    return Monitor()
