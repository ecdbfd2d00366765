"""Devices that models run on, and which of them each runtime computes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

DEVICES: Final = ("cpu", "cuda")
# Each runtime's default first.
DEVICES_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "onnxruntime": ("cpu", "cuda"),
    "onnxruntime-tensorrt": ("cuda",),
    "openvino": ("cpu",),
    "tensorrt": ("cuda",),
    "tensorrt-rtx": ("cuda",),
    "torch": ("cpu", "cuda"),
    "torch-inductor": ("cpu", "cuda"),
}
