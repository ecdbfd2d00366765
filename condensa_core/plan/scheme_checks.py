"""What schemes refuse of a recipe's settings and of the model's weights, before anything is trained for it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from torch import nn

from condensa_core.errors import SchemeError
from condensa_core.graph.channels import Family
from condensa_core.plan.assignment import built, dtype_at
from condensa_core.plan.rules import Match, Rules
from condensa_core.recipe import LEFT_ALONE, PythonSpec, SchemeSpec, references_in, setting_at
from condensa_core.recipe.knob_checks import combinations
from condensa_core.schemes import check_block, check_block_criterion, check_pattern

_Path = tuple[str | int, ...]
_ENDS: Final = 2  # of the values of a knob, which come first
_LINEAR: Final = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)  # whose inputs give each of their weights a metric


def check_schemes(
    rules: Rules, model: nn.Module, families: Mapping[int, Sequence[Family]], own: Mapping[str, Any]
) -> None:
    """Note in `rules` each mistake that a projection would meet; `families` are those of rules that remove channels, by
    their number, `own` the user's objects as `bind` takes them."""
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    for match in rules.matches:
        # with channels of several layers, their matrices: what else travels along is one number a channel
        coupled = [m.name for family in families.get(match.number, ()) for m in family.members if m.side != "consumes"]
        mine = {name: shapes[name] for names in match.tensors.values() for name in names}
        mine |= {name: shapes[name] for name in coupled if len(shapes.get(name, ())) > 1}
        for position, scheme in enumerate(match.rule.scheme):
            for path, leaf in scheme.leaves():
                where = ("layers", match.number, "scheme", position, *path)
                _check_settings(rules, leaf, where, own)
                _check_pattern(rules, leaf, where, own, mine)
                if leaf.block is not None:
                    _check_blocks(rules, leaf, where, own, mine)
                if leaf.lowrank is not None:
                    _check_inputs(rules, leaf, where, match, model)


def _check_settings(rules: Rules, leaf: SchemeSpec, where: _Path, own: Mapping[str, Any]) -> None:
    """E222 where a scheme takes each of its settings, and not all of them together."""
    if any(isinstance(value, PythonSpec) and value.key not in own for value in leaf.settings.values()):
        return
    try:
        for values in _values(rules, leaf.settings):
            if dtype_at(leaf, values) != LEFT_ALONE:
                built(leaf, values, own)
    except SchemeError as error:
        _refuse(rules, "E222", error, where)


def _check_pattern(
    rules: Rules, leaf: SchemeSpec, where: _Path, own: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """E226 where a pattern of the user's does not fit a tensor it is for."""
    pattern = own.get(str(leaf.settings.get("pattern")))
    if pattern is None:
        return
    try:
        for shape in dict.fromkeys(shapes.values()):
            check_pattern(pattern, shape)
    except SchemeError as error:
        _refuse(rules, "E226", error, (*where, "pattern"))


def _check_blocks(
    rules: Rules, leaf: SchemeSpec, where: _Path, own: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """E222 where a weight cannot be divided into the blocks of its rule, E223 where a criterion of the user's fails.

    The criterion is tried on blocks of each shape, at the first values of their knobs.
    """
    assert leaf.block is not None
    criterion = leaf.block.criterion
    made = own.get(criterion.key) if isinstance(criterion, PythonSpec) else None
    try:
        for values in _values(rules, {"shape": leaf.block.shape}):
            block = setting_at(leaf.block.shape, values)
            for name, shape in shapes.items():
                check_block(block, shape, name)
    except SchemeError as error:
        _refuse(rules, "E222", error, (*where, "shape"))
        return
    if made is None:
        return
    try:
        for values in itertools.islice(_values(rules, {"shape": leaf.block.shape}), _ENDS):
            for shape in dict.fromkeys(shapes.values()):
                check_block_criterion(made, setting_at(leaf.block.shape, values), shape)
    except SchemeError as error:
        _refuse(rules, "E223", error, (*where, "criterion"))


def _check_inputs(rules: Rules, leaf: SchemeSpec, where: _Path, match: Match, model: nn.Module) -> None:
    """E218 where ranks shall heed the inputs of a convolution that no exact solution is known for."""
    assert leaf.lowrank is not None
    metric = rules.recipe.compress.metric_used
    if metric == "identity":
        return
    alike = [match]
    if match.rule.scope == "model":  # such rules of one scheme are projected jointly
        same = (other for other in rules.matches if other.rule.scope == "model" and other is not match)
        alike += [other for other in same if other.rule.scheme == match.rule.scheme]
    tensors = {name: tensors for one in alike for name, tensors in one.tensors.items() if tensors}
    joint = [tensors] if match.rule.scope != "layer" else [{name: mine} for name, mine in tensors.items()]
    for task in joint:
        layers = {name: model.get_submodule(rules.names.layers[name].name) for name in task}
        weights = [len(mine) == 1 and mine[0].endswith(".weight") for mine in task.values()]
        if not all(weights) or not all(isinstance(layer, _LINEAR) for layer in layers.values()):
            continue  # weights without a metric among them: then none of them has one
        for name, layer in layers.items():
            across = leaf.lowrank.convolution == "kernel" and not isinstance(layer, nn.Linear)
            grouped = getattr(layer, "groups", 1) > 1
            if name not in match.tensors or not (across or grouped):
                continue
            kind = "'convolution: kernel' lays them across rows and columns" if across else "its groups have their own"
            message = f"errors shall be weighed by what '{name}' reads, but {kind}: no exact solution is known"
            advice = ("write convolution: output",) if across and not grouped else ("leave the layer to another rule",)
            key = ("convolution",) if across else ()
            rules.report("E218", message, *where, *key, advice=(*advice, "or compress: {metric: identity}"))
            return


def _values(rules: Rules, settings: Any) -> Iterator[dict[str, Any]]:
    """Values of the knobs in these settings, as `combinations`."""
    used = {name for value in settings.values() for _, found in references_in(value) for name in found.names}
    return combinations({name: rules.recipe.knobs[name] for name in sorted(used)})


def _refuse(rules: Rules, code: str, error: SchemeError, where: _Path) -> None:
    rules.report(code, error.message, *where, advice=(error.hint,) if error.hint else ())
