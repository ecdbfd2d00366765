"""TensorRT's progress as our events, and our refusal to go on as its cancelling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from condensa_core.progress import Advanced, Listener

PHASE: Final = "engine"
PERCENT: Final = 100


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


def monitor(module: Any, listener: Listener) -> Any:
    """An IProgressMonitor that tells the listener each percent.

    What the listener raises, or a signal raises meanwhile, cancels the build at its next step and is kept in `.raised`:
    an exception must not cross TensorRT's own code.
    """

    class Monitor(module.IProgressMonitor):
        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)  # super() leaves the native half unmade
            self.raised: BaseException | None = None
            self._advance = Advance()
            self._told = 0

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            self._advance.start(name, parent, steps)

        def step_complete(self, name: str, _step: int) -> bool:
            if self.raised is None:
                try:
                    self._advance.step(name)
                    self._tell(name)
                except BaseException as err:
                    self.raised = err
            return self.raised is None

        def phase_finish(self, name: str) -> None:
            self._advance.finish(name)

        def _tell(self, name: str) -> None:
            percent = self._advance.percent
            if percent > self._told:
                self._told = percent
                listener(Advanced(PHASE, percent, {"step": name}))

    return Monitor()
