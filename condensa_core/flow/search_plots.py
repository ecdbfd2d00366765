"""Pictures of a search as it goes: one after each trial, from the journal alone, so that a resumed run has them too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from condensa_core.flow.sparing import sparing
from condensa_core.plain_file import read_plain_text
from condensa_core.progress import Listener
from condensa_core.report import Axis, Dot, posterior_chart, scatter
from condensa_core.report.quantities import FRACTIONS, knobs_text
from condensa_core.run_directory import RunDirectory
from condensa_core.search import AskTell, Journal, LevelProblem, Observation, Point, Search, point_key, portrait

LATEST: Final = "search.svg"
POSTERIOR: Final = "posterior.svg"


class SearchPlots:
    """Draws `trials/NNN/posterior.svg` after trial NNN and `search.svg`, the latest of them.

    A search that has no knob is not drawn. A picture that cannot be made or written is told as a warning and costs no
    trial.
    """

    def __init__(
        self, search: AskTell, journal: Journal, directory: RunDirectory, *, name: str, metric: str, listener: Listener
    ) -> None:
        self._problem = search.problem if isinstance(search, Search) else None
        self._journal, self._directory, self._listener = journal, directory, listener
        self._name, self._metric = name, metric

    def ended(self, number: int) -> None:
        """Draw the search as it was when trial `number` had ended, unless its picture is there already.

        LATEST becomes the picture of the trial that ended last, also where it was drawn by a process that died then.
        """
        if self._problem is None:
            return
        file = self._directory.path / f"trials/{number:03d}/{POSTERIOR}"
        with sparing("the search could not be drawn", self._listener):
            if not file.is_file():
                drawn = self._drawn(self._problem, number)
                self._directory.write_text(f"trials/{number:03d}/{POSTERIOR}", drawn)
                self._directory.write_text(LATEST, drawn)
            elif number == self._last_ended():
                self._directory.write_text(LATEST, read_plain_text(file))

    def _last_ended(self) -> int:
        ended = self._journal.last("trial-ended")
        assert ended is not None  # whoever calls has written it down
        return int(ended["number"])

    def _drawn(self, problem: LevelProblem, number: int) -> str:
        title = f"{self._name}: the search after trial {number}"
        finished, pending = self._at_the_end_of(number)
        if len(problem.space.knobs) > 1:
            return _trade_off(problem, finished, title, self._metric)
        found = portrait(problem, list(finished.values()), pending, numbers=list(finished))
        return posterior_chart(found, title=title, metric=self._metric)

    def _at_the_end_of(self, last: int) -> tuple[dict[int, Observation], list[Point]]:
        """The finished trials by number, in the order of ending, up to the end of trial `last`; and those then open."""
        finished: dict[int, Observation] = {}
        started: dict[int, Point] = {}
        for entry in self._journal.entries:
            if entry.kind == "trial-started":
                started[entry.payload["number"]] = entry.payload["point"]
            elif entry.kind == "trial-ended":
                finished[entry.payload["number"]] = Observation.from_record(entry.payload["observation"])
                if entry.payload["number"] == last:
                    break
        return finished, [point for number, point in started.items() if number not in finished]


def _trade_off(problem: LevelProblem, finished: Mapping[int, Observation], title: str, metric: str) -> str:
    """The metric of all trials against what their objective gains; the latest ringed."""
    dots = []
    for number, o in finished.items():
        objective = problem.objective(o)
        if o.metric is None or objective is None:
            continue
        factor = 1 + problem.profile.gain(objective, problem.profile.reference)
        kind = "meets the limit" if problem.margin(o.metric) >= 0 else "breaks the limit"
        if o.status == "aborted":
            kind = "given up, as expected"
        hint = f"trial {number}: {knobs_text(o.point)}"
        latest = point_key(o.point) == point_key(list(finished.values())[-1].point)
        dots.append(Dot(factor, o.metric, kind, up_sd=problem.sd(o), hint=hint, ringed=latest))
    levels = ((problem.level, "limit"), (problem.reference_metric, "reference"))
    percent = metric in FRACTIONS
    return scatter(
        dots,
        Axis(f"{problem.profile.name}, times the reference's", lambda value: f"{value:.6g}x"),
        Axis(metric, lambda value: f"{100 * value:.6g} %" if percent else f"{value:.6g}", levels),
        title=title,
    )
