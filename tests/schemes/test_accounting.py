"""How papers count, to the digit, and what a disk holds of the same weights."""

from __future__ import annotations

from pathlib import Path

import torch

from condensa_core.export import OnnxModel, export_onnx, pack_onnx
from condensa_core.schemes import Compose, Prune, Quantize, Target, counted_bits
from condensa_core.workload.zoo import zoo_model


def test_the_accounting_of_condensas_alexnet(tmp_path: Path) -> None:
    """Its notebook keeps 2 % of AlexNet's 2,471,104 weights for CIFAR-10, halves all numbers, counts 50,542 of them as
    non-zero, 42 of the 1,162 biases being zero, and prints 97.8x. With their positions the same numbers take twice the
    room."""
    torch.manual_seed(0)
    model = zoo_model("alexnet", 10, (3, 32, 32), {}).eval()
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for p in parameters.values():
            if p.ndim == 1:
                p.copy_(torch.randn_like(p))
        parameters["conv3.bias"][:42] = 0
    weights = {name: p for name, p in parameters.items() if p.ndim > 1}
    assert sum(p.numel() for p in parameters.values()) == 2_472_266
    assert sum(w.numel() for w in weights.values()) == 2_471_104

    codes = [
        Compose((Prune(0.98), Quantize("float16"))).project(Target(weights)),
        Quantize("float16").project(Target({n: p for n, p in parameters.items() if p.ndim == 1})),
    ]

    with torch.no_grad():
        for code in codes:
            for name, dense in code.decode().items():
                parameters[name].copy_(dense)
    assert sum(int(p.count_nonzero()) for p in parameters.values()) == 50_542
    ratio = 32 * 2_472_266 / sum(counted_bits(code) for code in codes)
    assert f"{ratio:.1f}x" == "97.8x"
    stored = sum(code.bits() for code in codes)
    assert 45 < 32 * 2_472_266 / stored < 90  # positions cost as much as the half-precision values

    images = torch.rand(2, 3, 32, 32)
    dense = export_onnx(model, (images,), tmp_path / "model.onnx")
    packed = pack_onnx(dense.path, tmp_path / "model.packed.onnx")
    assert packed.size_bytes <= 1.03 * stored / 8 + 8_000  # 8 kB: nodes, names, shapes
    torch.testing.assert_close(OnnxModel(packed.path)(images), OnnxModel(dense.path)(images), rtol=0, atol=0)
    print(f"{ratio:.1f}x by non-zeros, {dense.size_bytes / packed.size_bytes:.1f}x on disk: {packed.size_bytes} bytes")
