"""Compile: an ONNX file becomes an engine of TensorRT for named GPUs, once; none of them is needed for it.

`build_engine` loads when it is first asked for: torch comes with it, which takes seconds to load.
"""

from typing import TYPE_CHECKING

from condensa_core.engines.acceptance import Precision
from condensa_core.engines.engine import Batches, Engine
from condensa_core.engines.family import FAMILIES, Family, capability_named, capability_text, family_named
from condensa_core.platforms import Gpu, nvidia_gpus

if TYPE_CHECKING:
    from condensa_core.engines.build import build_engine

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


def __getattr__(name: str) -> object:
    if name != "build_engine":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from condensa_core.engines.build import build_engine

    return build_engine
