"""The engine that ships beside the best model, where the recipe asks for one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Final

from condensa_core.engines import Batches, Engine, build_engine
from condensa_core.errors import CondensaError, Interrupted
from condensa_core.flow.compiling import engine_cache_dir, unmeasured
from condensa_core.flow.targets import ENGINE as SHIPPED_ENGINE
from condensa_core.flow.targets import capabilities_of, skipped_targets
from condensa_core.platforms import nvidia_gpus
from condensa_core.progress import Listener, Note
from condensa_core.recipe import GateSpec, Recipe, engine_target
from condensa_core.report import Artifact, EngineResult, GateResult
from condensa_core.run_directory import RunDirectory, file_sha256

ENGINE: Final = "best/model.engine"


class EngineYard:
    """Builds the engines of a recipe's target, or says once why it cannot: the run is concluded all the same."""

    def __init__(self, recipe: Recipe, cache_dir: Path | None, listener: Listener) -> None:
        name = engine_target(recipe.targets)
        assert name is not None, "the recipe was checked"
        self._name, self._spec, self._listener = name, recipe.targets[name], listener
        self._folder = engine_cache_dir() if cache_dir is None else cache_dir / "engines"
        self._skipped = skipped_targets(recipe, SHIPPED_ENGINE).get(name, "")

    def build(self, file: Path) -> Engine:
        """The engine of an ONNX file for the target's GPUs: for batches of 1 to the target's, which it is best at."""
        return build_engine(
            file,
            cache_dir=self._folder,
            family=self._spec.backend,
            capabilities=capabilities_of(self._spec),
            batches=Batches(1, self._spec.batch, self._spec.batch),
            listener=self._listener,
        )

    def ship(self, directory: RunDirectory, file: Path, *, timed: bool) -> EngineResult:
        """The engine of `file`, put beside it in the run directory; what was timed on the target is said elsewhere.

        Whatever condensa can refuse is the result's `problem`; Interrupted passes.
        """
        if self._skipped:
            return EngineResult(self._name, problem=self._skipped, skipped=True)
        try:
            built = self.build(file)
            with directory.replacing(ENGINE) as partial:
                partial.write_bytes(built.path.read_bytes())
        except Interrupted:
            raise
        except CondensaError as err:  # hours of training are at stake; `resume` builds it again
            self._listener(Note(f"no engine: {err}", level="warning"))
            return EngineResult(self._name, problem=str(err))
        facts = built.to_json()
        return EngineResult(
            target=self._name,
            path=ENGINE,
            bytes=built.size_bytes,
            runtime=built.runtime,
            capabilities=tuple(facts["capabilities"]),
            precision=built.precision,
            batches=() if built.batches is None else tuple(asdict(built.batches).values()),
            weights_bytes=built.weights_bytes,
            activation_bytes=built.activation_bytes,
            layers=built.layers,
            build_s=built.build_s,
            unmeasured=self._unmeasured(built) if timed else unmeasured(built),
        )

    def _unmeasured(self, built: Engine) -> str:
        """What timing the target leaves open: there an engine runs that takes one batch, for the GPU here."""
        batch, here = self._spec.batch, tuple(gpu.capability for gpu in nvidia_gpus()[:1])
        if built.batches == Batches(batch, batch, batch) and built.capabilities == here:
            return ""
        return f"latency is that of an engine for batch {batch} alone on the GPU here; the one that ships was not run"

    def judge(self, gate: GateSpec, shipped: EngineResult, reference: Path) -> GateResult:
        """A bound on the engine; the reference's is built where the bound is relative to it.

        Skipped where the engine is, and not met where there is none otherwise or its figure is not known.
        """
        value = shipped.bytes if gate.metric == "size.engine" else shipped.weights_bytes
        if value is None:
            met = None if shipped.skipped else False
            return GateResult(str(gate), met=met, unit="bytes", reason=shipped.problem or "the build log does not tell")
        base = 0.0
        if gate.amount.unit in ("factor", "relative"):
            try:
                built = self.build(reference)
            except Interrupted:
                raise
            except CondensaError as err:
                return GateResult(str(gate), value, met=False, unit="bytes", reason=f"of the reference: {err}")
            of_reference = built.size_bytes if gate.metric == "size.engine" else built.weights_bytes
            if of_reference is None:
                reason = "the build log of the reference's engine does not tell"
                return GateResult(str(gate), value, met=False, unit="bytes", reason=reason)
            base = float(of_reference)
        return GateResult(str(gate), value, gate.limit(base), gate.met(value, base), "bytes")


def artifact_of(directory: RunDirectory, engine: EngineResult | None) -> tuple[Artifact, ...]:
    """The engine among the files that came out."""
    if engine is None or not engine.path:
        return ()
    path = directory.path / engine.path
    return (Artifact(engine.path, path.stat().st_size, file_sha256(path)),)
