"""Packed files: the smallest that a stock ONNX Runtime loads, and the way back to plain ones."""

from condensa_core.export.packing.loading import Loading, measure_loading
from condensa_core.export.packing.packing import PackedFile, PackedTensor, pack_onnx
from condensa_core.export.packing.unpacking import unpack_onnx

__all__ = ["Loading", "PackedFile", "PackedTensor", "measure_loading", "pack_onnx", "unpack_onnx"]
