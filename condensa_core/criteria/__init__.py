"""How important a unit or a weight is: one criterion per file, higher means keep."""

from condensa_core.criteria.catalogue import CRITERIA, Criterion, criterion_named, criterion_of
from condensa_core.criteria.norms import share_gained

__all__ = ["CRITERIA", "Criterion", "criterion_named", "criterion_of", "share_gained"]
