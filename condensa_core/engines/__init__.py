"""Compile: an ONNX file becomes an engine of TensorRT for named GPUs, once; none of them is needed for it."""

from condensa_core.engines.acceptance import Precision
from condensa_core.engines.build import build_engine
from condensa_core.engines.engine import Batches, Engine
from condensa_core.engines.family import FAMILIES, Family, capability_named, capability_text, family_named
from condensa_core.platforms import Gpu, nvidia_gpus

__all__ = [
    "FAMILIES",
    "Batches",
    "Engine",
    "Family",
    "Gpu",
    "Precision",
    "build_engine",
    "capability_named",
    "capability_text",
    "family_named",
    "nvidia_gpus",
]
