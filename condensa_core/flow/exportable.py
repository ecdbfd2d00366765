"""Whether a user's own model can become a file that runs: tried before anything is paid for."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from condensa_core.errors import ExportFailed, MachineError, MissingRuntime, RunFailed, WorkloadError
from condensa_core.export import OnnxModel, export_onnx
from condensa_core.flow.before_work import memory_before_work
from condensa_core.flow.probing import probing
from condensa_core.flow.workbench import Modelled
from condensa_core.progress import Listener, PhaseEnded, PhaseStarted
from condensa_core.recipe import Recipe

PHASE = "export"
_HINT = "write this part of the forward with operators that ONNX has: nobody else could run one of your own"


@probing()
@memory_before_work()
def require_exportable(recipe: Recipe, found: Modelled, listener: Listener) -> None:
    """WorkloadError, at the model's place in the recipe, unless its untrained model is exported and the file runs.

    A few seconds, and only for models of the user's own: those built in are known to pass. Where no runtime is
    installed, which a plan does not need, the file is written and not run.
    """
    if recipe.model.python is None:
        return
    listener(PhaseStarted(PHASE, detail="the untrained model, to see whether it can be"))
    with tempfile.TemporaryDirectory(prefix="condensa-export-") as folder:
        path = Path(folder) / "model.onnx"
        try:
            export_onnx(found.model, found.example, path)
            with contextlib.suppress(MissingRuntime):
                _loaded(path)(*found.example)
        except ExportFailed as err:
            raise WorkloadError(err.message, place=recipe.place("model", "python"), hint=_HINT) from err
    listener(PhaseEnded(PHASE))


def _loaded(path: Path) -> OnnxModel:
    """The file as a function; MachineError where the runtime of this machine crashes on it."""
    try:
        return OnnxModel(path)
    except ExportFailed:
        raise
    except RunFailed as err:
        raise MachineError(err.message, hint="another version of ONNX Runtime may load what this one cannot") from err
