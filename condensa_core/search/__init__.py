"""Search: which setting to train next, and which to ship. Numbers only; BoTorch and torch load with the first fit."""

from condensa_core.search.bracket import Bracket
from condensa_core.search.catalogue import METHODS, strategy_named
from condensa_core.search.fixed_point import FixedPoint
from condensa_core.search.grid_search import GridSearch
from condensa_core.search.journal import Entry, Journal, read_journal
from condensa_core.search.level_set import ACQUISITIONS, LevelSetSearch, SearchState
from condensa_core.search.loop import Evaluate, find_level
from condensa_core.search.observation import Observation, Reading, Trial
from condensa_core.search.problem import LevelProblem
from condensa_core.search.profile import ObjectiveProfile, Record, Setting
from condensa_core.search.random_search import RandomSearch
from condensa_core.search.return_rule import Recommendation
from condensa_core.search.space import Knob, Point, Space, Value, point_key
from condensa_core.search.strategy import Strategy

__all__ = [
    "ACQUISITIONS",
    "METHODS",
    "Bracket",
    "Entry",
    "Evaluate",
    "FixedPoint",
    "GridSearch",
    "Journal",
    "Knob",
    "LevelProblem",
    "LevelSetSearch",
    "ObjectiveProfile",
    "Observation",
    "Point",
    "RandomSearch",
    "Reading",
    "Recommendation",
    "Record",
    "SearchState",
    "Setting",
    "Space",
    "Strategy",
    "Trial",
    "Value",
    "find_level",
    "point_key",
    "read_journal",
    "strategy_named",
]
