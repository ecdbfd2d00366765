"""Search strategies compared on the same trained models: how soon each ships what, as data and as a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final

from condensa_core.report.tables import Table

ABLATION_SCHEMA: Final = "condensa.ablation/1"
_WITHIN = 0.01  # of the best objective: as good as found
_SHOWN = (3, 5, 8, 10, 15, 20)


@dataclass(frozen=True)
class Played:
    """One search: the points it trained, and what it would have shipped after each of them.

    `factors` are the shipped objectives as multiples of the reference's, larger = better, 1 where the reference itself
    would be shipped; `held` whether the shipped model keeps the bound in the light of everything that was trained.
    `distances` are from where the level was estimated to be, after each of the trials, to where all trials of the seed
    together put it, as shares of the knob's range.
    """

    strategy: str
    seed: int
    points: tuple[dict[str, Any], ...]
    factors: tuple[float, ...]
    held: tuple[bool, ...]
    stopped: str
    shipped: dict[str, Any] | None = None  # the point of the last answer, None for the reference
    distances: tuple[float, ...] = ()

    def distance(self, trainings: int) -> float:
        """How far off the level is estimated after so many trainings; a search that is over keeps its last estimate."""
        return self.distances[min(trainings, len(self.distances)) - 1]

    def factor(self, trainings: int) -> float:
        """What is shipped after so many trainings; a search that is over keeps its last answer."""
        used = min(trainings, len(self.factors))
        return self.factors[used - 1] if used else 1.0


@dataclass(frozen=True)
class Ablation:
    """Searches of several strategies and seeds over one recipe; `best` is what all of a seed's trials together ship."""

    recipe: str
    objective: str
    trials: int
    best: tuple[float, ...]  # by seed, as a multiple of the reference's objective
    searches: tuple[Played, ...]
    trainings: int  # in all: a point that several strategies ask for is trained once
    run_dir: str = ""

    @property
    def strategies(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(search.strategy for search in self.searches))

    def regrets(self, strategy: str, trainings: int) -> list[float]:
        """By how much less than the best known is shipped after so many trainings, 0..1, for each seed."""
        searches = [search for search in self.searches if search.strategy == strategy]
        return [max(0.0, 1 - search.factor(trainings) / self.best[search.seed]) for search in searches]

    def distances(self, strategy: str, trainings: int) -> list[float]:
        """How far off its estimate of the level is after so many trainings, for each seed that estimated any."""
        return [s.distance(trainings) for s in self.searches if s.strategy == strategy and s.distances]

    def trainings_to_level(self, strategy: str) -> list[int | None]:
        """After how many trainings a search stays within 1 % of the best known, for each seed; None: never."""
        found: list[int | None] = []
        for search in (s for s in self.searches if s.strategy == strategy):
            enough = (1 - _WITHIN) * self.best[search.seed]
            missing = [n for n, factor in enumerate(search.factors, 1) if factor < enough]
            last = missing[-1] if missing else 0
            found.append(last + 1 if last < len(search.factors) else None)
        return found

    def broken(self, strategy: str) -> int:
        """How many of its searches end with a model that breaks the bound in the light of all trials."""
        return sum(not s.held[-1] for s in self.searches if s.strategy == strategy and s.held)

    def table(self) -> Table:
        """A row per strategy; medians over the seeds."""
        shown = [n for n in _SHOWN if n < self.trials] + [self.trials]
        columns = ("strategy", "trainings", "within 1 %", *(f"regret after {n}" for n in shown), "breaks the bound")
        rows = []
        for name in self.strategies:
            used = [len(s.points) for s in self.searches if s.strategy == name]
            regrets = [f"{median(self.regrets(name, n)):.1%}" for n in shown]
            rows.append(
                (name, f"{median(used):g}", _median_of(self.trainings_to_level(name)), *regrets,
                 f"{self.broken(name)} of {len(used)}")
            )  # fmt: skip
        return Table("", columns, tuple(rows))

    def to_json(self) -> dict[str, Any]:
        """JSON values, the derived figures included."""
        return {
            "schema": ABLATION_SCHEMA,
            **asdict(self),
            "strategies": {
                name: {
                    "trainings_to_level": self.trainings_to_level(name),
                    "regret": [self.regrets(name, n) for n in range(1, self.trials + 1)],
                    "distance": [self.distances(name, n) for n in range(1, self.trials + 1)],
                    "broken": self.broken(name),
                }
                for name in self.strategies
            },
        }


def _median_of(counts: list[int | None]) -> str:
    """The median count, those that never came counted as the largest."""
    middle = median(float("inf") if count is None else count for count in counts)
    return "never" if middle == float("inf") else f"{middle:g}"
