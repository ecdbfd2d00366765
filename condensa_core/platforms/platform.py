"""A runtime on a device of a machine, and what that device can do."""

from __future__ import annotations

from dataclasses import dataclass

from condensa_core.errors import UsageError
from condensa_core.platforms.devices import DEVICES
from condensa_core.platforms.features import FEATURES, feature_named
from condensa_core.platforms.gpus import Gpu, nvidia_gpus
from condensa_core.platforms.processor import Processor, processor


@dataclass(frozen=True)
class Platform:
    """Where a model runs. Features are asked of the device: of `processor` for cpu, of `gpu` for cuda.

    `arch` are the compute capabilities that it is built for, 89 for 8.9: where there are any, cuda has what all of them
    have, whatever GPU is here. `target` is the name of a recipe's target, empty where none has one. UsageError for an
    unknown device.
    """

    runtime: str
    device: str
    processor: Processor
    gpu: Gpu | None
    target: str = ""
    arch: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise UsageError(f"no device called {self.device!r}; known: {', '.join(DEVICES)}")

    @classmethod
    def here(
        cls, runtime: str = "onnxruntime", device: str = "cpu", target: str = "", arch: tuple[int, ...] = ()
    ) -> Platform:
        """This machine, with its first GPU; the driver is asked only for cuda."""
        gpus = nvidia_gpus() if device == "cuda" else ()
        return cls(runtime, device, processor(), gpus[0] if gpus else None, target, arch)

    def has(self, feature: str) -> bool:
        """Whether the device has a feature; UsageError for one that does not exist."""
        return not self.why_not(feature)

    def why_not(self, feature: str) -> str:
        """Why the device lacks a feature, empty where it has it; UsageError for one that does not exist."""
        known = feature_named(feature)
        if self.device == "cpu":
            if not known.may_be_on("cpu"):
                return f"{feature} is of GPUs, and the target is on the cpu"
            if self.processor.flags is None:
                return f"this system does not tell whether its CPU has {feature}"
            return "" if known.of_processor(self.processor) else f"{feature} is not on this machine's CPU"
        if not known.may_be_on("cuda"):
            return f"{feature} is of CPUs, and the target is on cuda"
        if self.arch:
            lacking = [f"sm{capability}" for capability in self.arch if not known.of_gpu(capability)]
            return f"{feature} is not on {', '.join(lacking)}, which the target is built for" if lacking else ""
        if self.gpu is None:
            return f"this machine has no NVIDIA GPU to have {feature}"
        if known.of_gpu(self.gpu.capability):
            return ""
        return f"{feature} is not on this machine's GPU ({self.gpu.name}, sm{self.gpu.capability})"

    @property
    def features(self) -> tuple[str, ...]:
        """The features that the device has, in the order of the table."""
        return tuple(name for name in FEATURES if self.has(name))

    @property
    def hardware(self) -> str:
        """The device by name, or what is built for."""
        if self.device == "cpu":
            return self.processor.name
        if self.arch:
            return ", ".join(f"sm{capability}" for capability in self.arch)
        return self.gpu.name if self.gpu else "no NVIDIA GPU"
