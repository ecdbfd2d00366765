"""From decisions to a physically smaller model, and the proof that it computes the same."""

from condensa_core.materialise.batchnorm_folding import fold_batchnorm
from condensa_core.materialise.cuttable import cuttable
from condensa_core.materialise.equivalence import check_equivalence
from condensa_core.materialise.kept import Kept, cut_tensors, kept_positions
from condensa_core.materialise.masking import masked
from condensa_core.materialise.shrink import shrink

__all__ = [
    "Kept",
    "check_equivalence",
    "cut_tensors",
    "cuttable",
    "fold_batchnorm",
    "kept_positions",
    "masked",
    "shrink",
]
