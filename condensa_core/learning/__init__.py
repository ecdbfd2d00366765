"""How compression is learned: the L-C loop, its schedule, direct compression, and fine-tuning at fixed structure."""

from condensa_core.learning.alternate import Iterate, alternate, c_step
from condensa_core.learning.batchnorm import recalibrate_batchnorm
from condensa_core.learning.checkpoint import Checkpoint
from condensa_core.learning.direct import compress_directly
from condensa_core.learning.finetune import finetune
from condensa_core.learning.lc import Learned, compress, mu_ladder, put_in_place
from condensa_core.learning.meter import Meter
from condensa_core.learning.penalty import Penalty
from condensa_core.learning.settings import Settings
from condensa_core.learning.statistics import input_metrics

__all__ = [
    "Checkpoint",
    "Iterate",
    "Learned",
    "Meter",
    "Penalty",
    "Settings",
    "alternate",
    "c_step",
    "compress",
    "compress_directly",
    "finetune",
    "input_metrics",
    "mu_ladder",
    "put_in_place",
    "recalibrate_batchnorm",
]
