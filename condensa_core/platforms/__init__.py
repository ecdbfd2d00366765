"""Where a model runs: what a processor or a GPU can do, under the names that recipes ask for. Loads no runtime."""

from condensa_core.platforms.devices import DEVICES, DEVICES_OF
from condensa_core.platforms.features import FEATURES, Feature, feature_named
from condensa_core.platforms.gpus import Gpu, driver_version, nvidia_gpus
from condensa_core.platforms.platform import Platform
from condensa_core.platforms.processor import INSTRUCTION_SETS, Processor, processor

__all__ = [
    "DEVICES",
    "DEVICES_OF",
    "FEATURES",
    "INSTRUCTION_SETS",
    "Feature",
    "Gpu",
    "Platform",
    "Processor",
    "driver_version",
    "feature_named",
    "nvidia_gpus",
    "processor",
]
