"""Engines beside the files of a comparison: their bytes, and the memory that the build log tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from condensa_core.bench import ModelFile
from condensa_core.engines import Batches, Engine, build_engine, capability_named, family_named
from condensa_core.errors import ExportFailed, UsageError
from condensa_core.flow.compiling import engine_cache_dir, unmeasured
from condensa_core.progress import Listener, Note

FAMILY: Final = "tensorrt-rtx"  # which needs no GPU


def engines_named(
    files: Mapping[str, ModelFile], capabilities: Sequence[str], batches: Sequence[int], listener: Listener
) -> dict[str, Any]:
    """The facts of one engine of each ONNX file for the named capabilities, by TensorRT for RTX; none of them is run.

    It takes the smallest to the largest of `batches` and is made fastest for the largest, for which memory is told.
    From the cache, or built. A file that TensorRT does not take, such as one rounded for another runtime, has nothing
    but a `problem`. UsageError if no file is ONNX or for a capability that none is built for, MissingRuntime without
    TensorRT.
    """
    wanted = family_named(FAMILY).targets([capability_named(text) for text in capabilities])
    models = {name: file for name, file in files.items() if file.kind == "onnx"}
    if not models:
        raise UsageError(
            "--engine builds from ONNX files, and none of these is one", hint="give .onnx files, or leave out --engine"
        )
    sizes = Batches(min(batches), max(batches), max(batches))
    facts = {}
    for name, file in models.items():
        try:
            built = build_engine(
                file.path,
                cache_dir=engine_cache_dir(),
                family=FAMILY,
                capabilities=wanted,
                batches=sizes,
                listener=listener,
            )
        except (UsageError, ExportFailed) as err:  # the other files can be timed all the same
            listener(Note(f"no engine of {name}: {err}", level="warning"))
            facts[name] = {"problem": str(err)}
        else:
            facts[name] = _facts(built, unmeasured(built))
    return facts


def engines_timed(
    files: Mapping[str, ModelFile], family: str, batches: Sequence[int], listener: Listener
) -> dict[str, Any]:
    """The facts of the engines that a TensorRT has just run at each of `batches`, of the largest; from the cache."""
    size = Batches(max(batches), max(batches), max(batches))
    built = {
        name: build_engine(file.path, cache_dir=engine_cache_dir(), family=family, batches=size, listener=listener)
        for name, file in files.items()
        if file.kind == "onnx"
    }
    return {name: _facts(engine, None) for name, engine in built.items()}


def _facts(engine: Engine, why: str | None) -> dict[str, Any]:
    """As JSON values, the place in the cache left out."""
    return {name: value for name, value in engine.to_json().items() if name != "path"} | {"unmeasured": why}
