"""The strategies by the names that recipes use, and the settings each of them takes."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from condensa_core.errors import UsageError
from condensa_core.randomness import Seed
from condensa_core.search.acquisition_search import AcquisitionSearch, LowerEnd, Score
from condensa_core.search.acquisitions import (
    ils_ucb,
    log_expected_improvement,
    log_probability_of_improvement,
    straddle,
    upper_confidence_bound,
)
from condensa_core.search.bisection import Bisection
from condensa_core.search.dr_ucb import reduced_domain
from condensa_core.search.frames import one_knob_frame
from condensa_core.search.kernels import DEFAULT_KERNEL, DEFAULT_PRIOR, MakeKernel, kernel_maker
from condensa_core.search.level_set import LevelSetSearch
from condensa_core.search.listed import GridSearch, RandomSearch, SobolSearch
from condensa_core.search.log_nei import LogNEI
from condensa_core.search.many_knobs import ManyKnobs
from condensa_core.search.pareto import ParetoSearch
from condensa_core.search.probabilistic_bisection import ProbabilisticBisection
from condensa_core.search.problem import LevelProblem
from condensa_core.search.scbo import SCBO
from condensa_core.search.strategy import Strategy

DEFAULT_GAMMA: Final = 0.5
DEFAULT_BETA: Final = {"ucb": 2.576, "straddle": 1.96}  # a 99 % band, and the 95 % band of Bryan et al. 2005


@dataclass(frozen=True)
class _Asked:
    """What a strategy is made from; None leaves a setting to the strategy."""

    problem: LevelProblem
    seed: Seed
    trials: int
    gamma: float | None
    beta: float | None
    kernel: str | MakeKernel | None
    prior: str | None
    confidence: float | None
    coordinates: str | None
    least_gain: float | None

    def by_score(self, score: Score, lower_end: LowerEnd | None = None) -> Strategy:
        """A search that maximises a score of the Gaussian process asked for."""
        return AcquisitionSearch(
            self.problem,
            score,
            seed=self.seed,
            coordinates=self.frame,
            kernel=kernel_maker(self.kernel or DEFAULT_KERNEL, self.prior or DEFAULT_PRIOR),
            lower_end=lower_end,
        )

    @property
    def frame(self) -> str:
        return self.coordinates or "scaled"


@dataclass(frozen=True)
class _Method:
    make: Callable[[_Asked], Strategy]
    takes: frozenset[str] = frozenset()


def _level_set(asked: _Asked) -> Strategy:
    least = None if asked.least_gain is None else _within("least_gain", asked.least_gain, 0.0, 1.0)
    if len(asked.problem.space.knobs) > 1:
        many = ManyKnobs(asked.problem, seed=asked.seed)
        return many if least is None else ManyKnobs(asked.problem, seed=asked.seed, least_gain=least)
    return LevelSetSearch(asked.problem) if least is None else LevelSetSearch(asked.problem, least_gain=least)


def _ils_ucb(asked: _Asked, lower_end: LowerEnd | None = None) -> Strategy:
    gamma = _within("gamma", DEFAULT_GAMMA if asked.gamma is None else asked.gamma, 0.0, 1.0)
    return asked.by_score(lambda at: ils_ucb(at.mean, at.sd, level=at.level, gamma=gamma), lower_end)


def _dr_ucb(asked: _Asked) -> Strategy:
    one_knob_frame("dr-ucb", asked.problem, asked.frame)
    return _ils_ucb(asked, reduced_domain)


def _straddle(asked: _Asked) -> Strategy:
    beta = _beta("straddle", asked)
    return asked.by_score(lambda at: straddle(at.mean, at.sd, level=at.level, beta=beta))


def _ucb(asked: _Asked) -> Strategy:
    beta = _beta("ucb", asked)
    return asked.by_score(lambda at: upper_confidence_bound(at.mean, at.sd, beta=beta))


def _ei(asked: _Asked) -> Strategy:
    return asked.by_score(lambda at: log_expected_improvement(at.mean, at.sd, best=at.best))


def _pi(asked: _Asked) -> Strategy:
    return asked.by_score(lambda at: log_probability_of_improvement(at.mean, at.sd, best=at.best))


_OF_PROCESSES: Final = frozenset({"kernel", "prior", "coordinates"})
_METHODS: Final[Mapping[str, _Method]] = {
    "level-set": _Method(_level_set, frozenset({"least_gain"})),
    "ils-ucb": _Method(_ils_ucb, _OF_PROCESSES | {"gamma"}),
    "dr-ucb": _Method(_dr_ucb, _OF_PROCESSES | {"gamma"}),
    "straddle": _Method(_straddle, _OF_PROCESSES | {"beta"}),
    "ei": _Method(_ei, _OF_PROCESSES),
    "pi": _Method(_pi, _OF_PROCESSES),
    "ucb": _Method(_ucb, _OF_PROCESSES | {"beta"}),
    "scbo": _Method(lambda asked: SCBO(asked.problem, seed=asked.seed)),
    "log-nei": _Method(lambda asked: LogNEI(asked.problem, seed=asked.seed)),
    "pareto": _Method(lambda asked: ParetoSearch(asked.problem, seed=asked.seed)),
    "bisection": _Method(lambda asked: Bisection(asked.problem, coordinates=asked.frame), frozenset({"coordinates"})),
    "probabilistic-bisection": _Method(
        lambda asked: ProbabilisticBisection(asked.problem, coordinates=asked.frame, confidence=asked.confidence),
        frozenset({"coordinates", "confidence"}),
    ),
    "grid": _Method(
        lambda asked: GridSearch(asked.problem, count=asked.trials, coordinates=asked.frame),
        frozenset({"coordinates"}),
    ),
    "random": _Method(
        lambda asked: RandomSearch(asked.problem, seed=asked.seed, coordinates=asked.frame),
        frozenset({"coordinates"}),
    ),
    "sobol": _Method(
        lambda asked: SobolSearch(asked.problem, seed=asked.seed, coordinates=asked.frame),
        frozenset({"coordinates"}),
    ),
}
METHODS: Final = tuple(_METHODS)
SETTINGS: Final[Mapping[str, frozenset[str]]] = {name: method.takes for name, method in _METHODS.items()}


def strategy_named(
    method: str,
    problem: LevelProblem,
    *,
    seed: Seed,
    trials: int = 10,
    gamma: float | None = None,
    beta: float | None = None,
    kernel: str | MakeKernel | None = None,
    prior: str | None = None,
    confidence: float | None = None,
    coordinates: str | None = None,
    least_gain: float | None = None,
) -> Strategy:
    """A fresh strategy; settings left None take its defaults.

    `trials` is what a grid divides its knobs into. Of Gaussian processes: `gamma` weighs the level against the
    uncertainty (ils-ucb, dr-ucb; 0.5), `beta` counts standard deviations (ucb 2.576, straddle 1.96), `kernel` and
    `prior` as in `kernel_maker`. `confidence` is that of probabilistic bisection in one answer. `coordinates` "scaled"
    walks log-density and the collapsed metric, "raw" the knob and the metric as they are. Below `least_gain`, relative
    to what holds, an expected improvement stops the level-set search.
    Raises UsageError for an unknown method, and for a setting that would steer nothing in it.
    """
    if method not in _METHODS:
        near = difflib.get_close_matches(method, METHODS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(METHODS)
        raise UsageError(f"search method {method!r} is not available in this version", hint=hint)
    asked = _Asked(problem, seed, trials, gamma, beta, kernel, prior, confidence, coordinates, least_gain)
    for name in ("gamma", "beta", "kernel", "prior", "confidence", "coordinates", "least_gain"):
        if getattr(asked, name) is not None and name not in SETTINGS[method]:
            takes = ", ".join(sorted(SETTINGS[method])) or "no settings"
            raise UsageError(f"search method {method!r} takes no {name!r}", hint=f"it takes {takes}")
    return _METHODS[method].make(asked)


def _beta(method: str, asked: _Asked) -> float:
    return _within("beta", DEFAULT_BETA[method] if asked.beta is None else asked.beta, 0.0, float("inf"))


def _within(name: str, number: float, low: float, high: float) -> float:
    if not low <= number <= high:
        raise UsageError(f"{name} must lie in {low:g}..{high:g}, got {number:g}")
    return number
