"""Search: which setting to train next, and which to ship. Numbers only; BoTorch and torch load with the first fit."""

from condensa_core.search.belief import Belief, belief_of
from condensa_core.search.bracket import Bracket
from condensa_core.search.catalogue import METHODS, strategy_named
from condensa_core.search.fixed_point import FixedPoint
from condensa_core.search.grid_search import GridSearch
from condensa_core.search.journal import Entry, Journal, read_journal
from condensa_core.search.level_set import ACQUISITIONS, LevelSetSearch
from condensa_core.search.loop import Evaluate, find_level
from condensa_core.search.objectives import Objectives
from condensa_core.search.observation import Observation, Reading, Trial
from condensa_core.search.problem import Confidence, LevelProblem
from condensa_core.search.profile import ObjectiveProfile, Record, Setting
from condensa_core.search.random_search import RandomSearch
from condensa_core.search.return_rule import Recommendation
from condensa_core.search.search import AskTell, Search
from condensa_core.search.space import Knob, Point, Space, Value, point_key
from condensa_core.search.strategy import Strategy, Told

__all__ = [
    "ACQUISITIONS",
    "METHODS",
    "AskTell",
    "Belief",
    "Bracket",
    "Confidence",
    "Entry",
    "Evaluate",
    "FixedPoint",
    "GridSearch",
    "Journal",
    "Knob",
    "LevelProblem",
    "LevelSetSearch",
    "ObjectiveProfile",
    "Objectives",
    "Observation",
    "Point",
    "RandomSearch",
    "Reading",
    "Recommendation",
    "Record",
    "Search",
    "Setting",
    "Space",
    "Strategy",
    "Told",
    "Trial",
    "Value",
    "belief_of",
    "find_level",
    "point_key",
    "read_journal",
    "strategy_named",
]
