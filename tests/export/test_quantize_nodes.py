"""int8 files: close to the float ones, small, computed in integers, and what each target asks for."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from condensa_core.errors import ExportFailed, UsageError
from condensa_core.export import OnnxModel, export_onnx
from condensa_core.export.parity import compare
from condensa_core.export.quantize_nodes import quantize_onnx, saturates_bytes
from condensa_core.schemes import Quantize, Target


class Wide(nn.Module):
    """Convolutions wide enough that the weights are most of the file; a residual stream with two additions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 48, 3, padding=1)
        self.branch = nn.Conv2d(48, 48, 3, padding=1)
        self.hidden = nn.Linear(48 * 16, 64)
        self.classifier = nn.Linear(64, 10)

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu(self.stem(x)), 2)
        y = torch.relu(x + self.branch(x))
        return self.classifier(torch.relu(self.hidden((x + y).flatten(1))))


@pytest.fixture(scope="module")
def wide(tmp_path_factory, batch):
    torch.manual_seed(0)
    model = Wide()
    return model, export_onnx(model, (batch(2),), tmp_path_factory.mktemp("wide") / "wide.onnx")


def operators(path, tmp_path):
    """What the runtime computes, after its own fusions."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)


def stored(path):
    return {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


@pytest.mark.parametrize("rule", ["max", "percentile", "mse", "entropy"])
@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt"])
def test_outputs_stay_close_on_samples_not_calibrated_on(wide, batch, tmp_path, rule, target):
    path = wide[1].path

    file = quantize_onnx(path, tmp_path / "q.onnx", [batch(64, 1), batch(64, 2)], activations=rule, target=target)

    most = 0.15 if rule == "entropy" else 0.05  # which clips the extremes, where the greatest error is taken
    assert file.error < most and file.parity.cosine > 0.999
    if target == "onnxruntime":
        reference, ours = OnnxModel(path)(batch(64, 3)), OnnxModel(file.path)(batch(64, 3))
        assert float((reference - ours).abs().max() / reference.abs().max()) < most
        assert float((reference.argmax(1) == ours.argmax(1)).float().mean()) > 0.9


def test_a_deviation_of_rounding_is_told_without_a_verdict(wide, batch, tmp_path):
    file = quantize_onnx(wide[1].path, tmp_path / "q.onnx", [batch(64, 1)])

    assert all(not hasattr(one, "ok") and not hasattr(one, "tolerance") for one in (file.parity, file.plain))
    measured = compare(OnnxModel(wide[1].path), OnnxModel(file.path), [batch(64, 1)], file.error / 2)
    assert file.error > 0 and measured.max_rel == file.error and not measured.ok


def test_every_kind_of_network_is_smaller_or_tiny_and_close(exported, batch, tmp_path):
    file = quantize_onnx(exported.file.path, tmp_path / "q.onnx", [batch(32, 1)], reduce_range=True)

    assert file.reduce_range and file.error < 0.05
    assert len(file.layers) == {"conv": 3, "mlp": 2, "residual": 3}[exported.kind]


@pytest.mark.parametrize("rule", ["max", "mse"])  # with mse, what pooling leaves has a range of its own
def test_the_runtime_computes_in_integers_throughout(wide, batch, tmp_path, rule):
    file = quantize_onnx(wide[1].path, tmp_path / "q.onnx", [batch(32, 1)], activations=rule)

    found = operators(file.path, tmp_path)

    assert found["QLinearConv"] == 2 and found["QGemm"] == 2 and found["QLinearAdd"] == 2
    assert found["QuantizeLinear"] == 1 and found["DequantizeLinear"] == 0  # the image; the last product is in float
    assert not {"Conv", "Gemm", "FusedConv", "Relu", "Add"} & set(found)


def test_the_file_is_nearly_four_times_smaller(wide, batch, tmp_path):
    file = quantize_onnx(wide[1].path, tmp_path / "q.onnx", [batch(8, 1)])

    assert file.size_bytes == file.path.stat().st_size
    assert wide[1].path.stat().st_size / file.size_bytes > 3.3


def test_reduced_range_keeps_weights_to_seven_bits(wide, batch, tmp_path):
    full = quantize_onnx(wide[1].path, tmp_path / "8.onnx", [batch(64, 1)], reduce_range=False)
    reduced = quantize_onnx(wide[1].path, tmp_path / "7.onnx", [batch(64, 1)], reduce_range=True)

    for file, most in ((full, 127), (reduced, 63)):
        weights = [t for name, t in stored(file.path).items() if name.endswith(".levels") and t.dtype == np.int8]
        assert len(weights) == 4 and max(abs(t.astype(int)).max() for t in weights) == most
    assert full.plain.max_rel < reduced.plain.max_rel < 0.05


@pytest.mark.parametrize(("cores", "saturates"), [(("avx2 avx_vnni", "avx2"), True), (("avx2 avx_vnni",) * 2, False)])
def test_a_processor_of_which_some_cores_lack_vnni_may_saturate(cores, saturates, monkeypatch):
    told = "".join(f"flags : {flags}\n\n" for flags in cores)
    monkeypatch.setattr(Path, "read_text", lambda self, **kwargs: told)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")

    assert saturates_bytes() == saturates


def test_fused_kernels_saturate_only_where_the_cpu_lacks_vnni(tmp_path):
    """Large weights of one sign on large inputs: pairs of byte products beyond 16 bits."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(256, 64))
    with torch.no_grad():
        model[1].weight.copy_(torch.rand(64, 256) * 0.2 + 0.9)
    inputs = torch.rand(64, 256) * 0.2 + 0.9
    export_onnx(model, (inputs[:2],), tmp_path / "f.onnx")

    full = quantize_onnx(tmp_path / "f.onnx", tmp_path / "8.onnx", [inputs], reduce_range=False)
    chosen = quantize_onnx(tmp_path / "f.onnx", tmp_path / "c.onnx", [inputs])

    assert chosen.reduce_range == saturates_bytes()
    assert chosen.error < 0.02  # the default is right on every CPU
    assert full.plain.max_rel < 0.02
    assert not chosen.saturates and full.saturates == saturates_bytes()
    if saturates_bytes():
        assert full.error > 3 * full.plain.max_rel
    else:
        assert full.error == pytest.approx(full.plain.max_rel, abs=0.005)


@pytest.mark.parametrize(("dtype", "granularity"), [("int8", "channel"), ("int4", "channel"), ("int4", "tensor")])
@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt"])
def test_integers_that_were_chosen_before_are_kept(wide, batch, tmp_path, dtype, granularity, target):
    model = Wide()
    model.load_state_dict(wide[0].state_dict())
    weights = {name: p for name, p in model.named_parameters() if p.dim() > 1}
    code = Quantize(dtype, granularity, range="mse" if dtype == "int4" else "max").project(Target(weights))
    with torch.no_grad():
        for name, values in code.decode().items():
            weights[name].copy_(values)
    export_onnx(model, (batch(2),), tmp_path / "f.onnx", like=wide[1])

    for reduce_range in (False, True) if target == "onnxruntime" else (None,):
        file = quantize_onnx(
            tmp_path / "f.onnx",
            tmp_path / "q.onnx",
            [batch(32, 1)],
            target=target,
            reduce_range=reduce_range,
            terms=code.terms(),
        )

        held = stored(file.path)
        found = [name.removesuffix(".levels") for name in held if name.endswith(".levels") and held[name].ndim > 1]
        assert len(found) == 4
        for name in found:
            parameter = next(known for known in weights if name.startswith(known))
            zero = held[f"{name}.zero"].astype(int).reshape(-1, *[1] * (held[f"{name}.levels"].ndim - 1))
            assert (held[f"{name}.levels"].astype(int) - zero == code.levels[parameter].numpy()).all()
            wide_grid = dtype == "int8" and reduce_range
            assert held[f"{name}.levels"].dtype == (np.uint8 if wide_grid else np.int8)
        assert file.error < 0.05


def test_a_large_bias_on_tiny_weights_fits_its_integers(tmp_path):
    model = nn.Linear(8, 3)
    with torch.no_grad():
        model.weight.mul_(torch.tensor([[1.0], [1e-9], [0.0]]))
        model.bias.copy_(torch.tensor([0.5, 2.0, -3.0]))
    inputs = torch.randn(32, 8, generator=torch.Generator().manual_seed(0))
    export_onnx(model, (inputs[:2],), tmp_path / "f.onnx")

    file = quantize_onnx(tmp_path / "f.onnx", tmp_path / "q.onnx", [inputs])

    with torch.no_grad():
        torch.testing.assert_close(OnnxModel(file.path)(inputs), model(inputs), rtol=0, atol=0.03)


def test_what_is_skipped_stays_in_floating_point(wide, batch, tmp_path):
    layers = quantize_onnx(wide[1].path, tmp_path / "all.onnx", [batch(8, 1)]).layers

    by_node = quantize_onnx(wide[1].path, tmp_path / "n.onnx", [batch(8, 1)], skip=[layers[0]])
    by_weight = quantize_onnx(wide[1].path, tmp_path / "w.onnx", [batch(8, 1)], skip=["stem.weight"])

    assert by_node.layers == by_weight.layers == layers[1:]
    assert stored(by_weight.path)["stem.weight"].dtype == np.float32
    assert by_weight.error < 0.05


def test_half_precision_storage_is_read_through(wide, batch, tmp_path):
    model = Wide()
    model.load_state_dict(wide[0].state_dict())
    with torch.no_grad():
        model.hidden.weight.copy_(model.hidden.weight.half())
    export_onnx(model, (batch(2),), tmp_path / "f.onnx", float16_parameters={"hidden.weight"}, like=wide[1])

    file = quantize_onnx(tmp_path / "f.onnx", tmp_path / "q.onnx", [batch(8, 1)])

    assert len(file.layers) == 4 and file.error < 0.05
    assert "Cast" not in {node.op_type for node in onnx.load(file.path).graph.node}


def test_attention_is_quantized_too(tmp_path):
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, dropout=0.0)
    inputs = torch.randn(8, 12, 32)
    export_onnx(model, (inputs,), tmp_path / "f.onnx")

    file = quantize_onnx(tmp_path / "f.onnx", tmp_path / "q.onnx", [inputs])

    assert len(file.layers) == 6  # in, two products of attention, out, two linear layers
    assert file.error < 0.03


def test_the_bytes_depend_on_the_samples_not_on_how_they_are_batched(wide, batch, tmp_path):
    images = batch(8, 1)

    once = quantize_onnx(wide[1].path, tmp_path / "1.onnx", [images], activations="mse")
    again = quantize_onnx(wide[1].path, tmp_path / "2.onnx", [images[:3], images[3:]], activations="mse")

    assert once.path.read_bytes() == again.path.read_bytes()


def test_tensorrt_files_have_no_zero_points_and_no_integer_bias(wide, batch, tmp_path):
    file = quantize_onnx(wide[1].path, tmp_path / "q.onnx", [batch(8, 1)], target="tensorrt")

    held = stored(file.path)
    assert {t.dtype for t in held.values()} <= {np.dtype(np.int8), np.dtype(np.float32), np.dtype(np.int64)}
    assert not any(t.any() for name, t in held.items() if name.endswith((".zero", ".zero_point")))
    assert {low == -high for low, high in file.ranges.values()} == {True}


def test_tensorrt_for_rtx_builds_the_file(wide, batch, tmp_path):
    trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
    file = quantize_onnx(wide[1].path, tmp_path / "q.onnx", [batch(8, 1)], target="tensorrt")
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)

    parsed = parser.parse(file.path.read_bytes())

    assert parsed, [parser.get_error(i).desc() for i in range(parser.num_errors)]
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM89, 0)
    profile = builder.create_optimization_profile()
    profile.set_shape(network.get_input(0).name, *[(count, 1, 8, 8) for count in (1, 8, 64)])
    config.add_optimization_profile(profile)
    assert builder.build_serialized_network(network, config) is not None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": "openvino"}, "no target called"),
        ({"activations": "kl"}, "no range rule"),
        ({"skip": ["nothing.weight"]}, "nothing.weight"),
        ({"target": "tensorrt", "reduce_range": True}, "reduce_range"),
    ],
)
def test_unknown_settings_are_refused(wide, batch, tmp_path, settings, message):
    with pytest.raises(UsageError, match=message):
        quantize_onnx(wide[1].path, tmp_path / "q.onnx", [batch(2, 1)], **settings)
    assert not (tmp_path / "q.onnx").exists()


def test_nothing_to_quantize_is_said(exported_by_kind, batch, tmp_path):
    path = exported_by_kind("mlp").file.path
    names = quantize_onnx(path, tmp_path / "q.onnx", [batch(2)]).layers

    with pytest.raises(ExportFailed, match="no convolution or matrix product"):
        quantize_onnx(path, tmp_path / "none.onnx", [batch(2)], skip=names)


def test_without_batches_there_is_no_range(exported_by_kind, tmp_path):
    with pytest.raises(UsageError, match="at least one batch"):
        quantize_onnx(exported_by_kind("mlp").file.path, tmp_path / "q.onnx", [])
