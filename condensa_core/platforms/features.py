"""What hardware can do, by name: the one table of features that a recipe may ask for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from condensa_core.errors import UsageError
from condensa_core.platforms.processor import Processor


@dataclass(frozen=True)
class Feature:
    """A feature by what decides it: any of `flags` on a processor, compute capability `since` (61 for 6.1) on a GPU.

    Without flags no processor has it, without `since` no GPU; `but_not` are later capabilities that lack it.
    """

    name: str
    gives: str
    flags: tuple[str, ...] = ()
    since: int | None = None
    but_not: tuple[int, ...] = ()

    def may_be_on(self, device: str) -> bool:
        """Whether any processor has it, for cpu, or any GPU, for cuda."""
        return bool(self.flags) if device == "cpu" else self.since is not None

    def of_processor(self, processor: Processor) -> bool:
        """Whether the processor has it; False where the system tells no flags."""
        return processor.flags is not None and not processor.flags.isdisjoint(self.flags)

    def of_gpu(self, capability: int) -> bool:
        """Whether GPUs of the compute capability have it."""
        return self.since is not None and capability >= self.since and capability not in self.but_not


# Capabilities: CUDA C++ Programming Guide, "Compute Capabilities"; 6.1 computes float16 at 1/64 of float32's rate.
_TABLE: Final = (
    Feature("avx2", "vectors of 256 bits", ("avx2",)),
    Feature("avx512", "vectors of 512 bits", ("avx512f",)),
    Feature("neon", "vectors of 128 bits on Arm", ("asimd",)),
    Feature("amx", "matrix tiles, for int8 and bfloat16", ("amx_tile",)),
    Feature(
        "int8-dot",
        "8-bit products summed in one instruction, for layers in int8",
        ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"),
        since=61,
    ),
    Feature("fp16", "arithmetic in float16", ("avx512_fp16", "amx_fp16", "asimdhp"), since=53, but_not=(61,)),
    Feature("bf16", "products of bfloat16", ("avx512_bf16", "amx_bf16", "bf16"), since=80),
    Feature("fp8", "matrix products in 8-bit floating point", since=89),
    Feature("sparse-2:4", "matrix products that skip two of every four weights", since=80),
    Feature("cuda", "an NVIDIA GPU for which its driver answers", since=0),
)
FEATURES: Final[Mapping[str, Feature]] = {feature.name: feature for feature in _TABLE}


def feature_named(name: str) -> Feature:
    """UsageError with a suggestion if there is none."""
    if name in FEATURES:
        return FEATURES[name]
    near = difflib.get_close_matches(name, FEATURES, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(FEATURES)
    raise UsageError(f"no feature called {name!r}", hint=hint)
