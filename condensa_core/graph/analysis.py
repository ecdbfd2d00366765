"""From a model to its coupled channels, layers and costs."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.fx import Node

from condensa_core.graph.branches import branches_of
from condensa_core.graph.capture import capture
from condensa_core.graph.channels import Anatomy, ModelGraph
from condensa_core.graph.costs import macs_by_call
from condensa_core.graph.example import example_tuple, require_samples
from condensa_core.graph.families import families_of
from condensa_core.graph.layers import layers_of
from condensa_core.graph.macs import run_once
from condensa_core.graph.operators import rule_for
from condensa_core.graph.propagation import Carried, Propagation


def analyse(model: nn.Module, example_inputs: tuple[Tensor, ...], *, strict: bool = False) -> ModelGraph:
    """What one export of the model teaches about its channels; the model is left as it was.

    `example_inputs` have at least 2 samples along dimension 0 (UsageError for fewer, unless the model has no batch).
    With `strict`, channels that a norm averages over are frozen, so that every smaller model is exactly the masked one.
    WorkloadError if the model does not run on the inputs or cannot be exported. Operators that the table does not know
    freeze the channels through them and are listed.
    Source: the coupling of pruned channels as connected components, here over (value, dimension, index); Fang et al.,
    "DepGraph: Towards any structural pruning", CVPR 2023, state the problem.
    """
    example = example_tuple(model, example_inputs)
    require_samples(model, example)
    seen = run_once(model, example)
    captured = capture(model, example)
    walk = Propagation(captured, rule_for, strict=strict)
    families, frozen, classes = families_of(walk)
    averaging: dict[Node, tuple[int, ...]] = {}
    for statistic in walk.statistics:
        averaging[statistic.node] = (*averaging.get(statistic.node, ()), statistic.dim)
    anatomy = Anatomy(
        capture=captured,
        labels=len(classes.root),
        carried={node: _classes(carried, classes.root) for node, carried in walk.carried.items()},
        averaging=averaging,
    )
    return ModelGraph(
        layers=layers_of(captured, macs_by_call(anatomy), seen.outputs),
        families=families,
        frozen=frozen,
        operators=dict(walk.operators),
        unknown_operators=_stopping(walk, classes.root),
        macs=seen.macs,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        shapes=captured.shapes,
        aliases=captured.aliases,
        branches=branches_of(captured),
        anatomy=anatomy,
    )


def _classes(carried: Carried, root: np.ndarray) -> Any:
    if isinstance(carried, list):
        return [_classes(dims, root) for dims in carried]
    return tuple(None if dim is None else root[dim.labels] for dim in carried)


def _stopping(walk: Propagation, root: np.ndarray) -> dict[str, str]:
    """Operators without rule that keep channels of parameters, with the module each was first met in."""
    owned = [root[dim.labels] for dims in walk.parameters.values() for dim in dims if dim is not None]
    classes = np.unique(np.concatenate(owned)) if owned else np.empty(0, np.int64)
    stopping: dict[str, str] = {}
    for unknown in walk.unknown:
        if np.isin(root[unknown.labels], classes).any():
            stopping.setdefault(unknown.operator, unknown.module)
    return stopping
