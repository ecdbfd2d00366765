"""Which TensorRT: the one seam between its two families, whose interfaces are the same."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from condensa_core.errors import MissingRuntime, UsageError
from condensa_core.platforms import Gpu, nvidia_gpus

_CAPABILITY: Final = re.compile(r"(?:sm_?)?(\d{1,2})\.?(\d)", re.IGNORECASE)
_ARCHITECTURES: Final = {70: "Volta", 72: "Volta", 75: "Turing", 90: "Hopper", 100: "Blackwell for data centres"}


@dataclass(frozen=True)
class Family:
    """An installed TensorRT.

    `capabilities` are those it builds for without having the GPU, in the form 89 for 8.9; empty where it builds for the
    GPU of the machine alone.
    """

    name: str
    title: str
    module: Any
    version: str
    capabilities: tuple[int, ...]

    def targets(self, asked: Sequence[int], gpus: Sequence[Gpu] | None = None) -> tuple[int, ...]:
        """The capabilities to build for, ascending: those asked for, else that of the first GPU (of this machine).

        UsageError for one that cannot be built for, or if there is none to build for; MissingRuntime where the GPU at
        hand is the one that the family does not support, or is missing and needed.
        """
        present = nvidia_gpus() if gpus is None else gpus
        if not self.capabilities:
            return self._present(asked, present)
        if not asked and not present:
            known = ", ".join(map(capability_text, self.capabilities))
            raise UsageError(
                f"{self.title} needs to know what to build for: this machine has no NVIDIA driver",
                hint=f"name compute capabilities, such as sm89; it builds for {known}",
            )
        for capability in asked:
            self._require(capability, UsageError)
        if not asked:
            self._require(present[0].capability, MissingRuntime)
        return tuple(sorted(set(asked) or {present[0].capability}))

    def _present(self, asked: Sequence[int], present: Sequence[Gpu]) -> tuple[int, ...]:
        if not present:
            raise MissingRuntime(
                f"{self.title} builds for the GPU of the machine, and here is no NVIDIA driver",
                hint="tensorrt-rtx builds for named compute capabilities without one",
            )
        here = present[0]
        others = [capability for capability in asked if capability != here.capability]
        if others:
            raise UsageError(
                f"{self.title} builds for the GPU of the machine ({here.name}, {capability_text(here.capability)}), "
                f"not for {capability_text(others[0])}",
                hint="build on the machine that will run it, or use tensorrt-rtx",
            )
        return (here.capability,)

    def _require(self, capability: int, refusal: type[UsageError] | type[MissingRuntime]) -> None:
        if capability in self.capabilities:
            return
        of = f" ({_ARCHITECTURES[capability]})" if capability in _ARCHITECTURES else ""
        known = ", ".join(map(capability_text, self.capabilities))
        raise refusal(
            f"{self.title} {self.version} does not support {capability_text(capability)}{of} GPUs; it supports {known}",
            hint="run the ONNX file there with ONNX Runtime's CUDA provider, or with tensorrt",
        )


def capability_named(text: str) -> int:
    """89 for `sm89`, `sm_89`, `8.9` or `89`; UsageError for anything else."""
    found = _CAPABILITY.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is no compute capability", hint="write it as sm89 or 8.9")
    return int(found[1] + found[2])


def capability_text(capability: int) -> str:
    """`sm89` for 89."""
    return f"sm{capability}"


def _tensorrt() -> ModuleType:
    import tensorrt  # type: ignore[import-not-found,unused-ignore]

    module: ModuleType = tensorrt
    return module


def _tensorrt_rtx() -> ModuleType:
    import tensorrt_rtx

    module: ModuleType = tensorrt_rtx
    return module


_FAMILIES: Final[dict[str, tuple[str, Callable[[], ModuleType], str]]] = {
    "tensorrt": ("TensorRT", _tensorrt, "install it as NVIDIA says: pip install tensorrt, with a GPU and its driver"),
    "tensorrt-rtx": (
        "TensorRT for RTX",
        _tensorrt_rtx,
        "install the extra: pip install '.[tensorrt]' from a checkout",
    ),
}
FAMILIES: Final = tuple(_FAMILIES)


def family_named(name: str) -> Family:
    """The installed family; UsageError for an unknown name, MissingRuntime with what to install."""
    if name not in _FAMILIES:
        near = difflib.get_close_matches(name, FAMILIES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(FAMILIES)
        raise UsageError(f"no TensorRT called {name!r}", hint=hint)
    title, load, hint = _FAMILIES[name]
    try:
        module = load()
    except ImportError as err:
        raise MissingRuntime(f"{title} is not installed", hint=hint) from err
    known = getattr(module, "ComputeCapability", None)
    named = known.__members__ if known is not None else {}
    capabilities = sorted(int(member[2:]) for member in named if member.startswith("SM"))
    return Family(name, title, module, str(module.__version__), tuple(capabilities))
