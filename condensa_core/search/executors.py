"""Who carries out trials: one after the other in this process, or somebody with room for several at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from condensa_core.errors import RunFailed
from condensa_core.search.observation import Reading, Trial

Evaluate = Callable[[Trial], Reading]


class Executor(ABC):
    """Carries out up to `capacity` trials at once, which end in any order.

    Whatever is neither a reading nor a failed attempt (RunFailed) is raised by `wait`.
    """

    capacity: int

    @abstractmethod
    def start(self, trial: Trial) -> None:
        """Begin a trial; fewer than `capacity` are under way."""

    @abstractmethod
    def wait(self) -> tuple[Trial, Reading | RunFailed]:
        """The next trial to end and what came of it; at least one is under way."""


class InTurn(Executor):
    """One trial at a time, evaluated in the calling process by `wait`."""

    capacity = 1

    def __init__(self, evaluate: Evaluate) -> None:
        self._evaluate = evaluate
        self._trial: Trial | None = None

    def start(self, trial: Trial) -> None:
        assert self._trial is None, "one trial at a time"
        self._trial = trial

    def wait(self) -> tuple[Trial, Reading | RunFailed]:
        trial, self._trial = self._trial, None
        assert trial is not None, "no trial was started"
        try:
            return trial, self._evaluate(trial)
        except RunFailed as err:
            return trial, err
