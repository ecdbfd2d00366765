"""An ONNX file becomes an engine: typed, parsed, compiled for named GPUs, kept."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from condensa_core.engines.acceptance import Precision, precision_of, require_precision, require_rounding_it_takes
from condensa_core.engines.build_log import BuildLog, listening
from condensa_core.engines.engine import Batches, Engine
from condensa_core.engines.family import Family, capability_text, family_named
from condensa_core.engines.monitor import PERCENT, PHASE, Watch, monitor, supervised
from condensa_core.engines.open_batch import settled_batches
from condensa_core.engines.shelf import Shelf
from condensa_core.errors import ExportFailed, UsageError
from condensa_core.export.half_precision import cast_float16
from condensa_core.export.onnx_file import load_onnx
from condensa_core.export.packing.constants import densify
from condensa_core.export.session import onnxruntime
from condensa_core.platforms import nvidia_gpus
from condensa_core.progress import Listener, Note, PhaseEnded, PhaseStarted, silent

if TYPE_CHECKING:
    import onnx

_TURING: Final = 75


def build_engine(
    path: str | Path,
    *,
    cache_dir: Path,
    family: str = "tensorrt-rtx",
    capabilities: Sequence[int] = (),
    precision: Precision | None = None,
    batches: Batches | None = None,
    listener: Listener = silent,
) -> Engine:
    """The engine of an ONNX file, in `cache_dir`: taken from there, or built and left there.

    `capabilities` as 89 for sm89; none: that of this machine's GPU. `precision` None is the file's own; fp16 casts a
    float32 file, int8 takes one with quantize nodes. `batches` None takes 1 to 32, or the shapes that the file fixes.
    Weights that are stored packed are decoded first: TensorRT would decode them at every inference. What the listener
    raises while it builds cancels the build and leaves no file. Equal bytes come from the cache only: of two builds of
    one file sizes agree, but not every byte where convolutions compute in int8 (tensorrt-rtx 1.7.1).
    UsageError for a file or settings that TensorRT cannot take, MissingRuntime if it is not installed or cannot serve
    this GPU, ExportFailed where it fails to build, MachineError for a disk that does.
    """
    path = Path(path)
    runtime = family_named(family)
    targets = runtime.targets(capabilities)
    model = load_onnx(path)[1]
    densify(model)
    asked = precision or precision_of(model)
    require_precision(model, asked, path.name)
    require_rounding_it_takes(model, path.name)
    sizes = settled_batches(model, path.name, batches)
    settings = {
        "runtime": f"{runtime.name} {runtime.version}",
        "gpu": None if runtime.capabilities else nvidia_gpus()[0].name,
        "capabilities": targets,
        "precision": asked,
        "caster": onnxruntime().__version__ if asked == "fp16" else None,
        "batches": vars(sizes) if sizes else None,
    }
    shelf = Shelf(cache_dir)
    key = shelf.key(model, settings)
    listener(PhaseStarted(PHASE, PERCENT, f"{path.name} in {asked} for {', '.join(map(capability_text, targets))}"))
    engine = shelf.find(key)
    if engine is not None:
        listener(PhaseEnded(PHASE, "from the cache"))
        return engine
    if shelf.holds(key):
        listener(Note(f"the cached engine of {path.name} is damaged and built anew", level="warning"))
    if asked == "fp16" and precision_of(model) != "fp16":
        model = cast_float16(model)
    started = time.perf_counter()
    watch = Watch()
    content, layers, log = supervised(
        lambda: _compiled(runtime, model, targets, sizes, path.name, watch), watch, listener
    )
    built = Engine(
        path=path,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        runtime=f"{runtime.name} {runtime.version}",
        capabilities=targets,
        precision=asked,
        batches=sizes,
        weights_bytes=log.memory("weights"),
        activation_bytes=log.memory("activations"),
        scratch_bytes=log.memory("scratch"),
        layers=layers,
        build_s=time.perf_counter() - started,
        log=tuple(log.lines),
    )
    engine = shelf.put(key, content, built)
    listener(PhaseEnded(PHASE, f"{engine.size_bytes} bytes in {engine.build_s:.1f} s"))
    return engine


def _compiled(
    runtime: Family,
    model: onnx.ModelProto,
    targets: Sequence[int],
    batches: Batches | None,
    title: str,
    watch: Watch,
) -> tuple[bytes, int, BuildLog]:
    """The engine's bytes, the layers of its network, and what was said."""
    trt = runtime.module
    with listening(trt) as (logger, log):
        builder = trt.Builder(logger)
        network = builder.create_network(_typed_by_the_file(runtime))
        parser = trt.OnnxParser(network, logger)
        if not parser.parse(model.SerializeToString()):
            raise _refusal(runtime, parser, log, title)
        config = builder.create_builder_config()
        if runtime.capabilities:
            config.num_compute_capabilities = len(targets)
            for place, capability in enumerate(targets):
                named = trt.ComputeCapability.__members__[f"SM{capability}"]
                config.set_compute_capability(named, place)
        if batches is not None:
            config.add_optimization_profile(_profile(builder, network, batches))
        config.progress_monitor = monitor(trt, watch)
        built = builder.build_serialized_network(network, config)
        if built is None:
            raise _failure(runtime, log, targets, title)
        return bytes(built), network.num_layers, log


def _typed_by_the_file(runtime: Family) -> int:
    """Flags of a network whose types are those of the file: version 10 must be told, later ones know no other."""
    if runtime.name == "tensorrt" and int(runtime.version.partition(".")[0]) < 11:
        return 1 << int(runtime.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    return 0


def _profile(builder: Any, network: Any, batches: Batches) -> Any:
    profile = builder.create_optimization_profile()
    for number in range(network.num_inputs):
        value = network.get_input(number)
        sizes = [[batch if size < 0 else size for size in value.shape] for batch in vars(batches).values()]
        profile.set_shape(value.name, *sizes)
    return profile


def _refusal(runtime: Family, parser: Any, log: BuildLog, title: str) -> UsageError:
    if not parser.num_errors:
        said = log.errors[0] if log.errors else "it does not say why"
        return UsageError(
            f"{runtime.title} cannot read {title}: {said.splitlines()[0]}",
            hint="onnx.checker.check_model says whether the file is sound; another opset may do",
        )
    error = parser.get_error(0)
    what = f"{error.node_operator()} {error.node_name()!r}"
    said = error.desc().splitlines()[-1] if "\n" not in error.desc() else error.desc().splitlines()[1]
    if said == "false":  # its checks of operators say no more
        said = "it does not support this operator as it stands here"
    if "Plugin not found" in said:
        said = "it does not know this operator"
    return UsageError(
        f"{runtime.title} cannot take {what} of {title}: {said}",
        hint="measure it with another runtime, or export it without this operator",
    )


def _failure(runtime: Family, log: BuildLog, targets: Sequence[int], title: str) -> ExportFailed:
    said = log.errors[0].splitlines()[0] if log.errors else "it does not say why"
    hint = "sm75 computes matrix products in fp16 only: ask for fp16" if _TURING in targets else None
    return ExportFailed(f"{runtime.title} cannot build {title}: {said}", hint=hint)
