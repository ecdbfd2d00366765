"""In what small form a weight is kept: one compressed form per file, each with its exact projection (the C step)."""

from condensa_core.schemes.binary import Binary
from condensa_core.schemes.blocks import Block, check_block, check_block_criterion
from condensa_core.schemes.catalogue import SCHEMES, scheme_named
from condensa_core.schemes.channels import Filter, Neuron, Structure, zero_units
from condensa_core.schemes.codebook import Codebook
from condensa_core.schemes.compose import Compose
from condensa_core.schemes.contents import (
    counted_bits,
    factors_of,
    leaves_little_free,
    moved_terms,
    narrow_of,
    only_channels,
)
from condensa_core.schemes.contract import Code, Facts, Freedom, Part, Scheme, Target, Tensors
from condensa_core.schemes.factored_form import FactoredForm, factor_names, factored_form, freedom_of
from condensa_core.schemes.lowrank import LowRank
from condensa_core.schemes.lowrank_code import LowRankCode
from condensa_core.schemes.matrix_view import Factors
from condensa_core.schemes.metric import Metric
from condensa_core.schemes.patterns import check_pattern
from condensa_core.schemes.prune import Prune
from condensa_core.schemes.quantize import Quantize
from condensa_core.schemes.restriction import restricted
from condensa_core.schemes.sum import Sum
from condensa_core.schemes.terms import Plain, Product, Scaled, Term
from condensa_core.schemes.ternary import Ternary

__all__ = [
    "SCHEMES",
    "Binary",
    "Block",
    "Code",
    "Codebook",
    "Compose",
    "FactoredForm",
    "Factors",
    "Facts",
    "Filter",
    "Freedom",
    "LowRank",
    "LowRankCode",
    "Metric",
    "Neuron",
    "Part",
    "Plain",
    "Product",
    "Prune",
    "Quantize",
    "Scaled",
    "Scheme",
    "Structure",
    "Sum",
    "Target",
    "Tensors",
    "Term",
    "Ternary",
    "check_block",
    "check_block_criterion",
    "check_pattern",
    "counted_bits",
    "factor_names",
    "factored_form",
    "factors_of",
    "freedom_of",
    "leaves_little_free",
    "moved_terms",
    "narrow_of",
    "only_channels",
    "restricted",
    "scheme_named",
    "zero_units",
]
