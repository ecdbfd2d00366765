"""Files of other runtimes are refused with the cause, before TensorRT sees them; it would refuse them too."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from condensa_core.engines.acceptance import precision_of, require_precision, require_rounding_it_takes
from condensa_core.errors import UsageError
from condensa_core.export import quantize_onnx


def refused_by_its_parser(model: onnx.ModelProto) -> bool:
    trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed, or not made for this platform")
    from condensa_core.engines.build_log import listening

    with listening(trt) as (logger, _):
        builder = trt.Builder(logger)
        network = builder.create_network(0)  # named, because the parser does not keep it alive
        parser = trt.OnnxParser(network, logger)
        return not parser.parse(model.SerializeToString())


def for_a_cpu(files, tmp_path):
    path = tmp_path / "cpu.onnx"
    quantize_onnx(files("vgg").path, path, [files("vgg").batch], target="onnxruntime")
    return onnx.load(path)


def with_integer_bias(files, _):
    model = onnx.load(files("mlp").int8())
    layer = next(node for node in model.graph.node if node.op_type == "Gemm")
    weight = next(tensor for tensor in model.graph.initializer if tensor.name.endswith(".levels"))
    levels = np.zeros(weight.dims[0], np.int32)
    model.graph.initializer.extend(
        [numpy_helper.from_array(levels, "bias.levels"), numpy_helper.from_array(np.float32(0.01), "bias.scale")]
    )
    decode = helper.make_node("DequantizeLinear", ["bias.levels", "bias.scale"], ["bias"], name="bias.dequantize")
    model.graph.node.insert(0, decode)
    del layer.input[2:]
    layer.input.append("bias")
    return model


def with_dynamic_ranges(files, tmp_path):
    from onnxruntime.quantization import quantize_dynamic

    path = tmp_path / "dynamic.onnx"
    quantize_dynamic(files("mlp").path, path)
    return onnx.load(path)


def with_an_integer_lstm(files, tmp_path):
    from onnxruntime.quantization import quantize_dynamic

    path = tmp_path / "dynamic.onnx"
    quantize_dynamic(files("lstm").path, path)
    return onnx.load(path)


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (for_a_cpu, "has a zero point"),
        (with_integer_bias, "is a bias in int32"),
        (with_dynamic_ranges, "is an integer operator of ONNX Runtime"),
        (with_an_integer_lstm, "is an LSTM in int8"),
    ],
    ids=["zero point", "bias", "dynamic", "lstm"],
)
def test_integers_of_another_runtime_are_refused_with_the_cause(files, tmp_path, make, cause):
    model = make(files, tmp_path)

    with pytest.raises(UsageError, match=rf"^a\.onnx: .*{cause}") as refusal:
        require_rounding_it_takes(model, "a.onnx")

    assert refusal.value.hint
    assert refused_by_its_parser(model)


def test_what_is_quantized_for_it_is_taken(files):
    for kind in ("vgg", "mlp", "transformer"):
        require_rounding_it_takes(onnx.load(files(kind).int8()), kind)


def test_the_precision_is_that_of_the_file(files):
    single, integer = onnx.load(files("mlp").path), onnx.load(files("mlp").int8())

    assert (precision_of(single), precision_of(integer)) == ("fp32", "int8")
    require_precision(single, "fp16", "mlp.onnx")
    with pytest.raises(UsageError, match="no quantize nodes"):
        require_precision(single, "int8", "mlp.onnx")
    for other in ("fp32", "fp16"):
        with pytest.raises(UsageError, match=f"computes in int8, which no cast turns into {other}"):
            require_precision(integer, other, "mlp.onnx")


def test_a_file_in_half_precision_needs_no_cast(files):
    from condensa_core.export.half_precision import cast_float16

    assert precision_of(cast_float16(onnx.load(files("mlp").path))) == "fp16"
