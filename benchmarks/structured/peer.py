"""Torch-Pruning on one architecture, used as its documentation and examples do."""

from __future__ import annotations

import copy
from typing import Any

import torch_pruning
from architecture import CLASSES
from measures import dims_cut, layers_cut, macs, parameters, timed, weighted_layers
from oracle import judge, mark, read_survivors, tensors_of
from torch import nn
from zoo import ZOO, vision

# global: one ranking over all layers. uniform: the same share of every layer. hints: as global, with the number of
# heads of every attention named by hand, heads removed instead of their channels, and attributes repaired after.
MODES = ("global", "uniform", "hints")


def prune(name: str, mode: str, ratio: float) -> dict[str, Any]:
    """What became of one architecture; `verdict` is one of

    EXACT, EXACT-N, WRONG (see `oracle`), TRACE (no graph), PRUNE (an exception while pruning), FORWARD (the pruned
    model does not run), NOTHING (nothing was pruned), EMPTY (no output to judge by), NO-HINT (mode hints, and no
    attention found).
    """
    model, inputs = ZOO[name].prepared()
    original = copy.deepcopy(model)
    layers = weighted_layers(original)
    record: dict[str, Any] = {
        "layers": len(layers),
        "parameters": [parameters(original)],
        "macs": [macs(original, inputs)],
    }

    def ended(verdict: str, error: Exception | None = None, **more: Any) -> dict[str, Any]:
        text = {} if error is None else {"error": f"{type(error).__name__}: {error}"[:300]}
        return {**record, "verdict": verdict, **text, **more}

    settings: dict[str, Any] = {}
    if mode == "hints":
        heads = _heads(model)
        if not heads:
            return ended("NO-HINT")
        settings = {"num_heads": heads}
        if not any(isinstance(layer, nn.MultiheadAttention) for layer in heads):
            settings |= {"prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": ratio}
    try:
        pruner, record["graph_s"] = timed(lambda: _pruner(name, model, inputs, ratio, mode != "uniform", settings))
    except Exception as error:  # whatever a peer raises is its result
        return ended("TRACE", error)
    source = {key: tensor.detach().double().clone() for key, tensor in tensors_of(model).items()}
    try:
        _, record["prune_s"] = timed(lambda: _step_marked(pruner, model))
    except Exception as error:
        return ended("PRUNE", error)
    if mode == "hints":
        _repair(model, pruner.num_heads)
    survivors = read_survivors(model, model)
    for key, tensor in tensors_of(model).items():
        tensor.data = source[key].flatten()[survivors[key]].float()
    dims = dims_cut(original, model)
    record |= {"dims_cut": dims, "layers_cut": len(layers_cut(layers, dims))}
    if not dims:
        return ended("NOTHING")
    try:
        record["macs"].append(macs(model, inputs))
    except Exception as error:
        return ended("FORWARD", error)
    record["parameters"].append(parameters(model))
    finding = judge(original, model, survivors, inputs, follow_scales=True)
    return ended(finding.verdict, difference=finding.error, effect=finding.effect)


def _pruner(
    name: str, model: nn.Module, inputs: Any, ratio: float, one_ranking: bool, settings: dict[str, Any]
) -> torch_pruning.pruner.BasePruner:
    return torch_pruning.pruner.BasePruner(
        model,
        inputs,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        global_pruning=one_ranking,
        pruning_ratio=ratio,
        ignored_layers=_outputs(name, model),
        in_channel_groups={},  # 1.6.1 keeps the layers of all models so far in these defaults
        out_channel_groups={},
        **settings,
    )


def _step_marked(pruner: torch_pruning.pruner.BasePruner, model: nn.Module) -> None:
    """Prunes; as soon as the channels are ranked, the weights are replaced by their positions."""
    groups = pruner.step(interactive=True)
    group = next(groups, None)
    mark(model)
    while group is not None:
        group.prune()
        group = next(groups, None)


def _outputs(name: str, model: nn.Module) -> list[nn.Module]:
    """The layers that the user has to tell apart: outputs, and what the library's own example leaves alone."""
    sizes = ("out_features", "out_channels")
    found = [layer for layer in model.modules() if any(getattr(layer, size, 0) == CLASSES for size in sizes)]
    found += [layer for path, layer in model.named_modules() if path.rpartition(".")[2] == "lm_head"]
    if "fasterrcnn" in name:
        found += [model.rpn.head.cls_logits, model.rpn.head.bbox_pred, model.backbone.fpn, model.roi_heads]
    return found


_HEAD_COUNTS = ("num_heads", "num_attention_heads", "n_heads")
_PROJECTIONS = (("query", "key", "value"), ("q_proj", "k_proj", "v_proj"), ("q_lin", "k_lin", "v_lin"), ("q", "k", "v"))


def _heads(model: nn.Module) -> dict[nn.Module, int]:
    """The number of heads of every layer that projects to queries, keys or values, found by the usual names."""
    heads: dict[nn.Module, int] = {}
    for module in model.modules():
        if isinstance(module, nn.MultiheadAttention):
            heads[module] = module.num_heads
            continue
        counts = [getattr(module, name, None) for name in _HEAD_COUNTS]
        count = next((c for c in counts if isinstance(c, int)), None)
        if count is None and hasattr(module, "q_proj"):
            count = module.q_proj.out_features // module.head_dim
        if count is None:
            continue
        if isinstance(getattr(module, "qkv", None), nn.Linear):
            heads[module.qkv] = count
        for query, key, value in _PROJECTIONS:
            if isinstance(getattr(module, query, None), nn.Linear):
                width = getattr(module, query).out_features // count
                heads[getattr(module, query)] = count
                heads[getattr(module, key)] = heads[getattr(module, value)] = getattr(module, key).out_features // width
    return heads


def _repair(model: nn.Module, heads: dict[nn.Module, int]) -> None:
    """Sets the attributes in which attention modules remember their sizes, as the library's examples do by hand."""
    for module in model.modules():
        for name in ("qkv", "query", "q_proj", "q_lin", "q"):
            layer = getattr(module, name, None)
            if not isinstance(layer, nn.Linear) or layer not in heads:
                continue
            count = heads[layer]
            inner = layer.out_features // (3 if name == "qkv" else 1)
            widths = dict.fromkeys(("head_dim", "attention_head_size", "attention_head_dim"), inner // count)
            inners = dict.fromkeys(("all_head_size", "attn_dim", "inner_dim"), inner)
            for attribute, size in {**dict.fromkeys(_HEAD_COUNTS, count), **widths, **inners}.items():
                if isinstance(getattr(module, attribute, None), int):
                    setattr(module, attribute, size)
            if hasattr(module, "num_key_value_groups"):
                module.num_key_value_groups = count // heads[module.k_proj]
        if isinstance(module, vision.VisionTransformer):
            module.hidden_dim = module.conv_proj.out_channels
