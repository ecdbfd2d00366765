"""The exported graph: which channels vanish together, what layers there are, and what they cost."""

from condensa_core.graph.analysis import analyse
from condensa_core.graph.channels import Branch, Family, Frozen, Keep, Layer, Member, ModelGraph, Side
from condensa_core.graph.contractions import surviving_groups
from condensa_core.graph.costs import Costs, KeptCounts, UnitCosts, costs_of
from condensa_core.graph.macs import count_macs
from condensa_core.graph.operators import register_rule

__all__ = [
    "Branch",
    "Costs",
    "Family",
    "Frozen",
    "Keep",
    "KeptCounts",
    "Layer",
    "Member",
    "ModelGraph",
    "Side",
    "UnitCosts",
    "analyse",
    "costs_of",
    "count_macs",
    "register_rule",
    "surviving_groups",
]
