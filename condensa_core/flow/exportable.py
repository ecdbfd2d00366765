"""Whether a user's own model can become a file that runs: tried before anything is paid for."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from condensa_core.errors import ExportFailed, MissingRuntime, WorkloadError
from condensa_core.export import OnnxModel, export_onnx
from condensa_core.flow.before_work import memory_before_work
from condensa_core.flow.workbench import Modelled
from condensa_core.progress import Listener, PhaseEnded, PhaseStarted
from condensa_core.recipe import Recipe

PHASE = "export"
_HINT = "write this part of the forward with operators that ONNX has: nobody else could run one of your own"


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
                OnnxModel(path)(*found.example)
        except ExportFailed as err:
            raise WorkloadError(err.message, place=recipe.place("model", "python"), hint=_HINT) from err
    listener(PhaseEnded(PHASE))
