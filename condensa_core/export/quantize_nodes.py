"""A float ONNX file becomes one that computes in 8-bit integers: rounding nodes for the target that will run it."""

from __future__ import annotations

import platform
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from condensa_core.errors import OUR_FAULT, ExportFailed, UsageError, first_line
from condensa_core.export.calibration import observe
from condensa_core.export.calibration_ranges import RangeRule, Reach, activation_range, grid_of
from condensa_core.export.integer_weights import integer_weight
from condensa_core.export.onnx_file import load_onnx
from condensa_core.export.packing.constants import densify
from condensa_core.export.parity import Deviation, deviation
from condensa_core.export.publish import publish
from condensa_core.export.quantize_plan import IntegerTarget, Layer, Plan, plan_layers
from condensa_core.export.session import Inputs, OnnxModel
from condensa_core.platforms import processor
from condensa_core.schemes.terms import Term

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class QuantizedFile:
    """An int8 file and how far it is from the float one.

    `parity` compares the outputs over the calibration batches, computed by the session that is timed; `plain` the same
    without the runtime's fusions, each rounding by itself. Much worse with than without: the runtime's integer kernels
    saturate. For TensorRT, which does not run here, both are without. How far a sound file is depends on the network:
    there is no tolerance, only the comparison of the two.
    """

    path: Path
    size_bytes: int
    target: IntegerTarget
    reduce_range: bool
    layers: tuple[str, ...]  # names of the nodes that compute in integers
    ranges: Mapping[str, Reach]  # of the activations, by tensor
    parity: Deviation
    plain: Deviation = field(repr=False)

    @property
    def error(self) -> float:
        """max |difference| / max |reference output|."""
        return self.parity.max_rel

    @property
    def saturates(self) -> bool:
        """Whether the session that is timed is much farther from the float file than what is written down.

        Kernels also round in another order, which moves outputs by a step or so of the last grid: that is allowed for.
        """
        return not self.parity.finite or self.parity.max_rel > 3 * self.plain.max_rel + 0.02


def quantize_onnx(
    path_in: str | Path,
    path_out: str | Path,
    batches: Iterable[Inputs],
    *,
    activations: RangeRule = "max",
    target: IntegerTarget = "onnxruntime",
    reduce_range: bool | None = None,
    skip: Collection[str] = (),
    only: Collection[str] | None = None,
    terms: Mapping[str, tuple[Term, ...]] | None = None,
) -> QuantizedFile:
    """Insert QuantizeLinear / DequantizeLinear around convolutions and matrix products, as the target wants them.

    `batches` calibrate the activations, one range a tensor by the rule `activations`, and judge the result. Weights get
    one scale an output, zero point 0. onnxruntime: activations uint8 with a zero point, biases int32, weights int8, of
    7 bits with `reduce_range`: kernels of x86 CPUs without VNNI add pairs of products in 16 bits, which saturate with
    8. None: where this CPU has that fault. tensorrt: activations and weights int8 around zero, biases in float.
    `terms` are the pieces of parameters by name; a weight that is one `Scaled` with an int8 base, without shift, whose
    scales are those of outputs or of the tensor, keeps exactly these integers (as uint8 where `reduce_range` could not
    hold them: slower kernels that do not saturate). `skip` names nodes or weights that stay in floating point, `only`
    those that do not (None: all that can; `layers_holding` finds those of given integers).
    UsageError for unknown settings and without batches; ExportFailed where nothing can be quantized or the result is
    refused by ONNX Runtime. The error is reported, not judged.
    Source: Jacob et al., arXiv:1712.05877; ONNX Runtime's and TensorRT's documents on explicit quantization.
    """
    if target not in get_args(IntegerTarget):
        raise UsageError(f"no target called {target!r}", hint="known: " + ", ".join(get_args(IntegerTarget)))
    if target == "tensorrt" and reduce_range:
        raise UsageError(
            "TensorRT has no use for reduce_range: its integer kernels do not saturate", hint="leave reduce_range out"
        )
    path_in, path_out = Path(path_in), Path(path_out)
    shown = list(batches)
    reduce = target == "onnxruntime" and (saturates_bytes() if reduce_range is None else reduce_range)
    model = load_onnx(path_in)[1]
    densify(model)
    plan = plan_layers(model, target, skip, only)
    if not plan.layers:
        raise ExportFailed(
            f"{path_in.name} holds no convolution or matrix product that can compute in integers",
            hint="leave 'activations' out of the rules",
        )
    histograms = observe(path_in, sorted({r.like for r in plan.roundings.values()}), shown)
    symmetric = target == "tensorrt"
    ranges = {n: activation_range(h, activations, symmetric=symmetric) for n, h in histograms.items()}
    names = tuple(model.graph.node[layer.place].name for layer in plan.layers)
    _rewrite(model, plan, ranges, _Form(target, reduce, dict(terms or {})))
    content = _checked(model, path_out.name)
    reference = OnnxModel(path_in)
    plain = deviation(reference, OnnxModel(content, fused=False), shown)
    parity = deviation(reference, OnnxModel(content), shown) if target == "onnxruntime" else plain
    publish(path_out, content)
    used = {name: ranges[rounding.like] for name, rounding in plan.roundings.items()}
    return QuantizedFile(path_out, len(content), target, reduce, names, used, parity, plain)


def saturates_bytes() -> bool:
    """Whether products of full bytes may saturate in this CPU's kernels: x86 without VNNI, or not known to have it.

    Of cores that differ, all must have it.
    """
    if platform.machine().lower() not in ("x86_64", "amd64", "i386", "i686"):
        return False
    return not {"avx512_vnni", "avx_vnni"}.intersection(processor().flags or ())


@dataclass(frozen=True)
class _Form:
    target: IntegerTarget
    reduce_range: bool
    terms: dict[str, tuple[Term, ...]]

    @property
    def symmetric(self) -> bool:
        return self.target == "tensorrt"


class _Rewriting:
    """New initializers, and the nodes to insert before or after others."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.initializers = {t.name: t for t in model.graph.initializer}
        self.before: dict[int, list[onnx.NodeProto]] = {}
        self.decoded: set[str] = set()

    def store(self, name: str, values: np.ndarray) -> str:
        from onnx import numpy_helper

        self.initializers.setdefault(name, numpy_helper.from_array(np.asarray(values, order="C"), name=name))
        return name

    def values(self, name: str) -> np.ndarray:
        from onnx import numpy_helper

        return numpy_helper.to_array(self.initializers[name])

    def decode(self, place: int, name: str, levels: np.ndarray, scale: np.ndarray, zero: np.ndarray, axis: int) -> str:
        """A stored tensor of integers, dequantized before the node at `place`; the name of the result."""
        import onnx

        inputs = [self.store(f"{name}.levels", levels), self.store(f"{name}.scale", scale)]
        inputs.append(self.store(f"{name}.zero", zero))
        output = f"{name}.dequantized"
        if output not in self.decoded:  # else a tied weight: made before the first layer that reads it
            made = onnx.helper.make_node("DequantizeLinear", inputs, [output], name=f"{name}.dequantize", axis=axis)
            self.before.setdefault(place, []).append(made)
            self.decoded.add(output)
        return output


def _rewrite(model: onnx.ModelProto, plan: Plan, ranges: Mapping[str, Reach], form: _Form) -> None:
    work = _Rewriting(model)
    scales = {n: grid_of(ranges[r.like], symmetric=form.symmetric)[0] for n, r in plan.roundings.items()}
    for layer in plan.layers:
        if layer.weight is not None:
            _put_weight(work, layer, layer.weight, scales[model.graph.node[layer.place].input[0]], form)
    after = _roundings(work, plan, ranges, form)
    nodes = [node for name in [v.name for v in model.graph.input] for node in after.pop(name, [])]
    for place, node in enumerate(model.graph.node):
        nodes += [*work.before.get(place, []), node]
        nodes += [made for name in node.output for made in after.pop(name, [])]
    assert not after  # every rounded tensor is an input or made by a node
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input} | {value.name for value in model.graph.output}
    del model.graph.initializer[:]
    model.graph.initializer.extend(t for name, t in work.initializers.items() if name in read)
    del model.graph.value_info[:]


def _put_weight(work: _Rewriting, layer: Layer, name: str, input_scale: float, form: _Form) -> None:
    node = work.model.graph.node[layer.place]
    with_bias = layer.bias is not None and form.target == "onnxruntime"
    bias = work.values(layer.bias).astype(np.float64) if with_bias and layer.bias else None
    key = name if bias is None else f"{name}.{layer.place}"  # a bias may ask for coarser scales: by layer, then
    weight = integer_weight(
        name, work.values(name), layer.axis, bits=7 if form.reduce_range else 8, terms=form.terms,
        least_scale=None if bias is None else np.abs(bias) / (input_scale * (2**31 - 1)),
    )  # fmt: skip
    node.input[1] = work.decode(layer.place, key, weight.levels, weight.scale, weight.zero, layer.axis)
    if bias is not None and layer.bias is not None:
        scale = weight.scale * np.float32(input_scale)
        levels = np.clip(np.rint(bias / scale), -(2**31), 2**31 - 1).astype(np.int32)
        key = f"{layer.bias}.{layer.place}"
        node.input[2] = work.decode(layer.place, key, levels, scale, np.zeros(scale.shape, np.int32), 0)


def _roundings(
    work: _Rewriting, plan: Plan, ranges: Mapping[str, Reach], form: _Form
) -> dict[str, list[onnx.NodeProto]]:
    """The pairs of nodes after each rounded tensor; its readers are made to read their result."""
    import onnx

    made = {}
    for name, rounding in plan.roundings.items():
        scale, lowest, _ = grid_of(ranges[rounding.like], symmetric=form.symmetric)
        zero = np.array(0, np.int8) if form.symmetric else np.array(-lowest, np.uint8)
        steps = [work.store(f"{name}.step", np.array(scale, np.float32)), work.store(f"{name}.zero_point", zero)]
        rounded, output = f"{name}.rounded", f"{name}.dequantized"
        made[name] = [
            onnx.helper.make_node("QuantizeLinear", [name, *steps], [rounded], name=f"{name}.quantize"),
            onnx.helper.make_node("DequantizeLinear", [rounded, *steps], [output], name=f"{name}.dequantize"),
        ]
        for place, node in enumerate(work.model.graph.node):
            if rounding.readers is None or place in rounding.readers:
                for position, read in enumerate(node.input):
                    if read == name:
                        node.input[position] = output
    return made


def _checked(model: onnx.ModelProto, title: str) -> bytes:
    import onnx

    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as err:
        raise ExportFailed(f"{title}: the quantized graph is not valid: {first_line(err)}", hint=OUR_FAULT) from err
    return model.SerializeToString(deterministic=True)
