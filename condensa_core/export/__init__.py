"""Carry: a PyTorch model becomes files (ONNX, torch.export, safetensors) that provably compute what it computed."""

from condensa_core.export.integer_layers import layers_holding
from condensa_core.export.onnx_export import export_onnx
from condensa_core.export.onnx_file import OnnxFile, Signature, read_onnx
from condensa_core.export.packing import PackedFile, PackedTensor, pack_onnx, unpack_onnx
from condensa_core.export.parity import Parity, check_parity, compare_outputs, measure_parity, require
from condensa_core.export.quantize_nodes import QuantizedFile, quantize_onnx
from condensa_core.export.quantize_plan import IntegerTarget
from condensa_core.export.session import OnnxModel, predict
from condensa_core.export.torch_program import load_pt2, save_pt2
from condensa_core.export.weights import save_weights

__all__ = [
    "IntegerTarget",
    "OnnxFile",
    "OnnxModel",
    "PackedFile",
    "PackedTensor",
    "Parity",
    "QuantizedFile",
    "Signature",
    "check_parity",
    "compare_outputs",
    "export_onnx",
    "layers_holding",
    "load_pt2",
    "measure_parity",
    "pack_onnx",
    "predict",
    "quantize_onnx",
    "read_onnx",
    "require",
    "save_pt2",
    "save_weights",
    "unpack_onnx",
]
