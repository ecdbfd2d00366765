"""Operator -> rule: the import list is the list of operators that channels can pass.

To teach the graph room an operator, write its rule (`Propagation` says what a rule must do) and enter it here, or
from outside with `register_rule`.
"""

from __future__ import annotations

from typing import Final

import torch
from torch.fx import Node

from condensa_core.errors import UsageError
from condensa_core.graph.attention import attention
from condensa_core.graph.contractions import conv, conv_transpose, einsum, embedding, linear, matmul, matmul_added
from condensa_core.graph.movement import (
    chunk,
    concatenation,
    gathered,
    moving,
    permuted,
    picked,
    pixel_shuffle,
    reshaped,
    section,
)
from condensa_core.graph.normalisation import channel_norm, group_norm, layer_norm
from condensa_core.graph.pointwise import channel_shuffle, created, created_like, filled, glu, pointwise, prelu
from condensa_core.graph.propagation import Rule
from condensa_core.graph.recurrent import gru, lstm
from condensa_core.graph.reductions import pool, reduction, rescaling


def _each(names: str, rule: Rule) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


RULES: Final[dict[str, Rule]] = {
    **_each("conv1d conv2d conv3d", conv),
    **_each("conv_transpose1d conv_transpose2d conv_transpose3d", conv_transpose),
    **_each("linear", linear),
    **_each("addmm baddbmm", matmul_added),
    **_each("bmm dot matmul mm mv", matmul),
    **_each("einsum", einsum),
    **_each("scaled_dot_product_attention", attention),
    **_each("embedding", embedding),
    **_each("lstm", lstm),
    **_each("gru", gru),
    **_each("batch_norm instance_norm", channel_norm),
    **_each("layer_norm rms_norm", layer_norm),
    **_each("group_norm", group_norm),
    **_each("prelu", prelu),
    **_each("glu", glu),
    **_each("channel_shuffle", channel_shuffle),
    **_each("cat concat concatenate", concatenation),
    **_each("chunk", chunk),
    **_each("_reshape_alias _unsafe_view flatten reshape reshape_as unflatten view view_as", reshaped),
    **_each("adjoint mT movedim moveaxis numpy_T permute squeeze swapaxes swapdims t transpose unsqueeze", permuted),
    **_each("pixel_shuffle pixel_unshuffle", pixel_shuffle),
    **_each("gather", gathered),
    **_each("index index_select select unbind", picked),
    **_each(
        "constant_pad_nd narrow pad reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d roll slice "
        "split split_with_sizes tensor_split",
        section,
    ),
    **_each("expand flip repeat repeat_interleave stack tile", moving),
    **_each(
        "_upsample_nearest_exact1d _upsample_nearest_exact2d adaptive_avg_pool1d adaptive_avg_pool2d "
        "adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d avg_pool1d avg_pool2d "
        "avg_pool3d max_pool1d max_pool2d max_pool2d_with_indices max_pool3d upsample_bicubic2d upsample_bilinear2d "
        "upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_trilinear3d",
        pool,
    ),
    **_each(
        "all amax amin any argmax argmin linalg_vector_norm logsumexp max mean min prod std sum var var_mean",
        reduction,
    ),
    **_each("cumprod cumsum log_softmax softmax", rescaling),
    **_each("empty full new_empty new_full new_ones new_zeros ones zeros", created),
    **_each("fill zero", filled),
    **_each("empty_like full_like ones_like zeros_like", created_like),
    # Element by element, but without torch.Tag.pointwise in torch 2.13.
    **_each(
        "_to_copy absolute alias alpha_dropout contiguous copy detach divide dropout expand_as "
        "feature_alpha_dropout feature_dropout greater hardswish lift_fresh_copy log_sigmoid multiply "
        "not_equal special_expit subtract to type_as",
        pointwise,
    ),
}


def register_rule(name: str, rule: Rule) -> None:
    """Teaches the graph an operator for this process: `name` is as torch.ops has it, `mine::swirl` or `aten::roll`.

    A rule that there was is replaced. A wrong one is found out when a model is delivered. UsageError for an operator
    that is not there (import what defines it first), and for a rule that cannot be called.
    """
    if not callable(rule):
        raise UsageError(f"the rule of {name!r} must be a function of the walk and a node, got a {type(rule).__name__}")
    namespace, colons, operator = str(name).partition("::")
    if not colons or not hasattr(getattr(torch.ops, namespace), operator):
        raise UsageError(
            f"there is no operator {name!r}",
            hint="write namespace::name, without overload, after the import that defines it",
        )
    RULES[operator if namespace == "aten" else name] = rule


def rule_for(node: Node) -> Rule | None:
    """The rule of the operator that a node calls, in-place variants included; None if there is none."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):
        return None
    if target.namespace != "aten":
        own = RULES.get(f"{target.namespace}::{target.overloadpacket.__name__}")
        if own is not None:
            return own
        return pointwise if torch.Tag.pointwise in target.tags else None
    name = target.overloadpacket.__name__
    functional = name[:-1] if name.endswith("_") and not name.endswith("__") else name
    rule = RULES.get(functional)
    if torch.Tag.pointwise in target.tags and rule not in (created, created_like, filled):
        return pointwise  # max(a, b) shares its name with a reduction
    if rule is not None:
        return rule
    packet = getattr(torch.ops.aten, functional, None)
    tagged = packet is not None and any(torch.Tag.pointwise in getattr(packet, o).tags for o in packet.overloads())
    return pointwise if tagged else None  # in-place twins do not inherit the tag
