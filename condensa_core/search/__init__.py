"""Search: which setting to train next, and which to ship. Numbers only; BoTorch and torch load with the first fit."""

from condensa_core.search.belief import Belief, belief_of
from condensa_core.search.bisection import Bisection
from condensa_core.search.bracket import Bracket
from condensa_core.search.catalogue import METHODS, SETTINGS, strategy_named
from condensa_core.search.designs import sobol_units
from condensa_core.search.executors import Evaluate, Executor, InTurn
from condensa_core.search.fixed_point import FixedPoint
from condensa_core.search.frames import COORDINATES
from condensa_core.search.journal import Entry, Journal, read_journal
from condensa_core.search.kernels import KERNELS, PRIORS, MakeKernel, kernel_maker
from condensa_core.search.level_set import LevelSetSearch
from condensa_core.search.listed import GridSearch, RandomSearch, SobolSearch
from condensa_core.search.log_nei import LogNEI
from condensa_core.search.loop import find_level
from condensa_core.search.many_knobs import ManyKnobs
from condensa_core.search.objectives import Objectives
from condensa_core.search.observation import TRAINING_COST, Observation, Reading, Trial
from condensa_core.search.one_knob_belief import OneKnobBelief, one_knob_belief
from condensa_core.search.pareto import ParetoSearch
from condensa_core.search.portrait import Band, Portrait, Trained, portrait
from condensa_core.search.probabilistic_bisection import ProbabilisticBisection
from condensa_core.search.problem import Confidence, LevelProblem
from condensa_core.search.processes import Processes
from condensa_core.search.profile import ObjectiveProfile, Record, Setting
from condensa_core.search.replay import Replay, bisection_replay, reached_after, shipped_factor, shipped_factors
from condensa_core.search.return_rule import Recommendation, recommend
from condensa_core.search.scbo import SCBO
from condensa_core.search.search import AskTell, Search
from condensa_core.search.space import Knob, Point, Space, Value, point_key
from condensa_core.search.strategy import Strategy, Told
from condensa_core.search.surface import ObjectiveSurface
from condensa_core.search.warm_start import ExpectedCrossing, ExpectedStrength, HeldUpTo

__all__ = [
    "COORDINATES",
    "KERNELS",
    "METHODS",
    "PRIORS",
    "SCBO",
    "SETTINGS",
    "TRAINING_COST",
    "AskTell",
    "Band",
    "Belief",
    "Bisection",
    "Bracket",
    "Confidence",
    "Entry",
    "Evaluate",
    "Executor",
    "ExpectedCrossing",
    "ExpectedStrength",
    "FixedPoint",
    "GridSearch",
    "HeldUpTo",
    "InTurn",
    "Journal",
    "Knob",
    "LevelProblem",
    "LevelSetSearch",
    "LogNEI",
    "MakeKernel",
    "ManyKnobs",
    "ObjectiveProfile",
    "ObjectiveSurface",
    "Objectives",
    "Observation",
    "OneKnobBelief",
    "ParetoSearch",
    "Point",
    "Portrait",
    "ProbabilisticBisection",
    "Processes",
    "RandomSearch",
    "Reading",
    "Recommendation",
    "Record",
    "Replay",
    "Search",
    "Setting",
    "SobolSearch",
    "Space",
    "Strategy",
    "Told",
    "Trained",
    "Trial",
    "Value",
    "belief_of",
    "bisection_replay",
    "find_level",
    "kernel_maker",
    "one_knob_belief",
    "point_key",
    "portrait",
    "reached_after",
    "read_journal",
    "recommend",
    "shipped_factor",
    "shipped_factors",
    "sobol_units",
    "strategy_named",
]
