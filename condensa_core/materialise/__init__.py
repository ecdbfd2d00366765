"""From decisions to a physically smaller model, and the proof that it computes the same."""

from condensa_core.materialise.batchnorm_folding import BatchNormFolding, fold_batchnorm
from condensa_core.materialise.delivery import Delivered, Route, deliver, deliverable
from condensa_core.materialise.equivalence import check_equivalence
from condensa_core.materialise.factor import Factored, factored
from condensa_core.materialise.kept import Kept, cut_tensors, kept_positions
from condensa_core.materialise.masking import averages, masked, reference
from condensa_core.materialise.optimizer import carry_over
from condensa_core.materialise.program import Program, cut_program
from condensa_core.materialise.shrink import shrink

__all__ = [
    "BatchNormFolding",
    "Delivered",
    "Factored",
    "Kept",
    "Program",
    "Route",
    "averages",
    "carry_over",
    "check_equivalence",
    "cut_program",
    "cut_tensors",
    "deliver",
    "deliverable",
    "factored",
    "fold_batchnorm",
    "kept_positions",
    "masked",
    "reference",
    "shrink",
]
