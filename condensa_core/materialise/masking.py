"""The masked model: removed units are still there, but every slice of theirs is zero."""

from __future__ import annotations

from collections.abc import Callable, Collection
from copy import copy, deepcopy
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node

from condensa_core.graph.branches import branches_named
from condensa_core.graph.channels import Keep, ModelGraph
from condensa_core.graph.contractions import surviving_groups
from condensa_core.graph.propagation import base_name
from condensa_core.materialise.kept import Kept, kept_positions, require_fit
from condensa_core.materialise.literals import Survivors
from condensa_core.materialise.replacement import copy_with


def masked(model: nn.Module, graph: ModelGraph, keep: Keep, without: Collection[str] = ()) -> nn.Module:
    """A copy with every member slice of the removed units set to zero, in producers, followers and consumers alike, and
    with the last layer of every branch named in `without`.

    It computes what the physically smaller model computes, but for norms that average over the removed channels (see
    `reference`): nobody else reads them any more. SchemeError for an impossible `keep`, UsageError for another model
    than that of `graph`.
    """
    require_fit(model, graph)
    zeroing: dict[str, Callable[[Tensor], Tensor]] = {
        name: partial(_zeroed, kept=kept) for name, kept in kept_positions(graph, keep).items()
    }
    for branch in branches_named(graph.branches, without):
        zeroing |= dict.fromkeys(branch.zeroed, torch.zeros_like)
    return copy_with(model, zeroing)


def reference(model: nn.Module, graph: ModelGraph, keep: Keep, without: Collection[str] = ()) -> nn.Module:
    """What the smaller model has to compute: the masked model, with norms that average over the survivors only.

    Where no norm averages over removed channels, it is the masked model itself.
    """
    zeroed = masked(model, graph, keep, without)
    if not averages(graph, keep):
        return zeroed
    return _OverSurvivors(zeroed, graph, keep)


def averages(graph: ModelGraph, keep: Keep) -> bool:
    """Whether the cut takes channels out of a norm or mean."""
    return any(family.averaged and not keep[family.name].all() for family in graph.families if family.name in keep)


class _OverSurvivors(nn.Module):
    """The captured operators with the masked model's tensors, run one by one."""

    def __init__(self, zeroed: nn.Module, graph: ModelGraph, keep: Keep) -> None:
        super().__init__()
        anatomy = graph.anatomy
        assert anatomy is not None
        survivors = Survivors(anatomy, keep, graph.families)
        self._averaging: dict[Node, list[tuple[int, Tensor]]] = {}
        for original, twin in anatomy.capture.calls():
            for dim in anatomy.averaging.get(original, ()):
                source = original.args[0]
                assert isinstance(source, Node)
                mask = survivors.mask(source, dim)
                if mask is not None:
                    self._averaging.setdefault(twin, []).append((dim, torch.from_numpy(mask.nonzero()[0])))
        self.zeroed = zeroed
        self._program = [anatomy.capture.unlifted]  # not a submodule: its tensors are those of the original model

    def __deepcopy__(self, memo: dict[int, Any]) -> _OverSurvivors:
        twin = copy(self)  # the program is only read
        twin._modules = {"zeroed": deepcopy(self.zeroed, memo)}
        return twin

    def forward(self, *inputs: Tensor) -> Any:
        return _Run(self._program[0], self.zeroed, self._averaging).run(*inputs)


class _Run(Interpreter):
    def __init__(
        self, program: GraphModule, zeroed: nn.Module, averaging: dict[Node, list[tuple[int, Tensor]]]
    ) -> None:
        super().__init__(program)
        self._tensors = {
            **dict(zeroed.named_parameters(remove_duplicate=False)),
            **dict(zeroed.named_buffers(remove_duplicate=False)),
        }
        self._averaging = averaging

    def fetch_attr(self, target: str) -> Any:
        return self._tensors[target] if target in self._tensors else super().fetch_attr(target)

    def run_node(self, n: Node) -> Any:
        if n not in self._averaging:
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        whole = cast(Tensor, args[0])
        x, places = whole, self._averaging[n]
        for dim, positions in places:
            x = x.index_select(dim, positions.to(x.device))
        name, rest, positions = base_name(n), list(args[1:]), places[-1][1]
        if name in ("layer_norm", "rms_norm"):
            rest[0] = [len(positions)]
        if name in ("layer_norm", "rms_norm", "group_norm"):
            rest[1:3] = [t.index_select(0, positions) if isinstance(t, Tensor) else t for t in rest[1:3]]
        if name == "group_norm":
            kept = positions.numpy()
            rest[0] = surviving_groups(kept, whole.shape[1], rest[0])
        out = n.target(x, *rest, **kwargs)  # type: ignore[operator]
        if not name.endswith("_norm"):
            return out  # a mean: the channels are gone
        for dim, positions in reversed(places):
            shape = list(out.shape)
            shape[dim] = whole.shape[dim]
            out = out.new_zeros(shape).index_copy(dim, positions.to(out.device), out)
        return out


def _zeroed(tensor: Tensor, kept: Kept) -> Tensor:
    tensor = tensor.clone()
    for dim, positions in enumerate(kept):
        if positions is not None:
            gone = torch.ones(tensor.shape[dim], dtype=torch.bool)
            gone[torch.from_numpy(positions)] = False
            tensor.index_fill_(dim, gone.nonzero().flatten().to(tensor.device), 0)
    return tensor
