"""From a model to its coupled channels, layers and costs."""

from __future__ import annotations

from torch import Tensor, nn

from condensa_core.graph.capture import capture
from condensa_core.graph.channels import ModelGraph
from condensa_core.graph.families import families_of
from condensa_core.graph.layers import layers_of
from condensa_core.graph.macs import macs_by_module
from condensa_core.graph.operators import rule_for
from condensa_core.graph.propagation import Propagation


def analyse(model: nn.Module, example_inputs: tuple[Tensor, ...]) -> ModelGraph:
    """What one export of the model teaches about its channels; the model is left as it was.

    `example_inputs` have a batch of at least 2 along dimension 0. WorkloadError if the model does not run on them or
    cannot be exported. Operators that the table does not know freeze the channels through them and are listed.
    Source: the coupling of pruned channels as connected components, here over (value, dimension, index); Fang et al.,
    "DepGraph: Towards any structural pruning", CVPR 2023, state the problem.
    """
    macs = macs_by_module(model, example_inputs)
    captured = capture(model, example_inputs)
    walk = Propagation(captured, rule_for)
    families, frozen = families_of(walk)
    return ModelGraph(
        layers=layers_of(captured, macs),
        families=families,
        frozen=frozen,
        operators=dict(walk.operators),
        unknown_operators=walk.unknown_operators,
        macs=macs[""],
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        shapes=captured.shapes,
        aliases=captured.aliases,
    )
