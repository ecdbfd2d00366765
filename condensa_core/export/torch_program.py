"""The model as a torch.export program: loads where neither the user's code nor condensa is installed."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import Tensor, nn

from condensa_core.code_free import load_program
from condensa_core.errors import CondensaError, ExportFailed, UsageError, first_line
from condensa_core.evaluation_mode import evaluating
from condensa_core.export.capture import dynamic_batch, quiet_exporters
from condensa_core.export.publish import publish


def save_pt2(model: nn.Module, example_inputs: tuple[Tensor, ...], path: str | Path) -> None:
    """Write the model in eval mode, with a free batch, so that `torch.export.load(path).module()` computes it.

    Holds no source lines, no local paths and none of the example's samples. The model is not changed. UsageError for an
    example batch below 2, ExportFailed when torch.export refuses the model.
    """
    buffer = io.BytesIO()
    try:
        with evaluating(model), quiet_exporters(), torch.no_grad():
            program = torch.export.export(model, example_inputs, dynamic_shapes=dynamic_batch(example_inputs))
            for module in program.graph_module.modules():
                if isinstance(module, torch.fx.GraphModule):
                    for node in module.graph.nodes:
                        node.meta.pop("stack_trace", None)  # absolute local paths and source lines
            program.example_inputs = None  # they may be the user's data
            torch.export.save(program, buffer)
    except CondensaError:
        raise
    except Exception as err:  # torch.export raises whatever the user's forward raises, and many types of its own
        raise ExportFailed(
            f"torch.export could not capture {type(model).__name__}: {first_line(err)}",
            hint="condensa inspect shows where it stops; forward must not choose its way by the values of tensors",
        ) from err
    publish(Path(path), buffer.getvalue())


def load_pt2(path: str | Path) -> nn.Module:
    """The module of a file written by `save_pt2`, in inference mode; UsageError if it is missing or something else."""
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"no such file: {path}")
    try:
        return load_program(path).module()
    except UsageError as err:
        raise UsageError(
            f"{path} is not a torch.export program: {err.message}",
            hint="save it with torch.export.save, by the version of torch that is installed here",
        ) from err
