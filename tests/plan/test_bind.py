"""A recipe against models whose layers and couplings are written by hand, so that every expectation can be read off."""

import numpy as np
import pytest
import torch
from torch import nn

from condensa_core.errors import PlanError, UsageError
from condensa_core.graph.channels import Family, Frozen, Layer, Member, ModelGraph
from condensa_core.plan import bind
from condensa_core.recipe import read_recipe_text

HEAD = """\
condensa: 1
name: net
model: {builtin: small-cnn}
data: {builtin: digits}
constraint: {metric: top1, max_drop: 2pp}
objective: {maximize: throughput}
"""


class Residual(nn.Module):
    """stem -> + block.conv2(block.conv1(.)) -> fc: stem and block.conv2 write to one stream."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.block = nn.ModuleDict({"conv1": nn.Conv2d(4, 6, 3, padding=1), "conv2": nn.Conv2d(6, 4, 3, padding=1)})
        self.odd = nn.Conv2d(4, 5, 1)
        self.hidden = nn.Linear(5, 7)
        self.fc = nn.Linear(7, 2)


def member(name, dim, units, side):
    return Member(name, dim, np.arange(units).reshape(units, 1), side)


def layer(name, module, *roles):
    parameters = {key: tuple(value.shape) for key, value in module.named_parameters(recurse=False)}
    return Layer(name, type(module).__name__, frozenset(roles), parameters, 1, (1,))


def residual(prefix=""):
    model = Residual()
    stream = Family(
        f"{prefix}stem",
        4,
        (
            member(f"{prefix}stem.weight", 0, 4, "produces"),
            member(f"{prefix}stem.bias", 0, 4, "follows"),
            member(f"{prefix}norm.weight", 0, 4, "follows"),
            member(f"{prefix}norm.running_mean", 0, 4, "follows"),
            member(f"{prefix}block.conv1.weight", 1, 4, "consumes"),
            member(f"{prefix}block.conv2.weight", 0, 4, "produces"),
        ),
        (f"{prefix}stem", f"{prefix}block.conv2"),
    )
    inner = Family(
        f"{prefix}block.conv1",
        6,
        (
            member(f"{prefix}block.conv1.weight", 0, 6, "produces"),
            member(f"{prefix}block.conv2.weight", 1, 6, "consumes"),
        ),
        (f"{prefix}block.conv1",),
    )
    neurons = Family(
        f"{prefix}hidden",
        7,
        (
            member(f"{prefix}hidden.weight", 0, 7, "produces"),
            member(f"{prefix}hidden.bias", 0, 7, "follows"),
            member(f"{prefix}fc.weight", 1, 7, "consumes"),
        ),
        (f"{prefix}hidden",),
    )
    modules = dict(model.named_modules())
    names = ["stem", "norm", "block.conv1", "block.conv2", "odd", "hidden", "fc"]
    roles = {"stem": ["first"], "fc": ["last"], "odd": ["pointwise"]}
    graph = ModelGraph(
        layers=tuple(layer(prefix + name, modules[name], *roles.get(name, [])) for name in names),
        families=(stream, inner, neurons),
        frozen=(
            Frozen(f"{prefix}odd", "is merged with another dimension", "aten.pixel_shuffle.default"),
            Frozen(f"{prefix}fc", "is part of the model's output"),
        ),
        operators={},
        unknown_operators={},
        macs=7,
        parameters=sum(p.numel() for p in model.parameters()),
    )
    return nn.DataParallel(model) if prefix == "module." else model, graph


def plan(rules, *, keep="", model_and_graph=None, more=""):
    model, graph = model_and_graph or residual()
    keep = f"keep: {keep}\n" if keep else ""
    return bind(read_recipe_text(f"{HEAD}{more}{keep}layers:\n{rules}", "net.yaml"), model, graph)


def refused(rules, **kwargs):
    with pytest.raises(PlanError) as error:
        plan(rules, **kwargs)
    return [
        f"{p.place.line}:{p.place.column} {p.code} {p.message}" + "".join(f" = {line}" for line in p.help)
        for p in error.value.problems
    ]


def warned(bound):
    return [f"{p.place.line}:{p.place.column} {p.code} {p.message}" for p in bound.problems]


def test_filters_of_all_layers_are_one_task_over_whole_families():
    bound = plan("  - {match: all, scheme: {filter: {}}}\n")

    (task,) = bound.tasks_at({"sparsity": 0.5})

    assert [family.name for family in task.families] == ["stem", "block.conv1"]
    assert task.names == ("stem.weight", "stem.bias", "norm.weight", "block.conv2.weight", "block.conv1.weight")
    assert (task.scheme.name, task.scheme.sparsity, task.scheme.criterion) == ("filter", 0.5, "l2")
    assert bound.space.names == ("sparsity",)
    # the pixel shuffle is met by a pattern: a warning that names the operator; the output layer is no news
    assert warned(bound) == [
        "8:13 W214 channels of 'odd' cannot be removed: their dimension is merged with another dimension"
        " (operator aten.pixel_shuffle.default)"
    ]


def test_the_scheme_says_which_layers_a_rule_is_for():
    neurons = plan("  - {match: all, scheme: {neuron: {sparsity: 0.2}}}\n").tasks_at({})
    both = plan("  - {match: all, scheme: {structure: {sparsity: 0.2}}}\n").tasks_at({})
    weights = plan("  - {match: all, scheme: {prune: {sparsity: 0.2}}}\n").tasks_at({})

    assert [family.name for family in neurons[0].families] == ["hidden"]
    assert [family.name for family in both[0].families] == ["stem", "block.conv1", "hidden"]
    # norms and biases are no weights to prune
    assert weights[0].names == tuple(
        f"{name}.weight" for name in ["stem", "block.conv1", "block.conv2", "odd", "hidden", "fc"]
    )
    assert weights[0].families == ()


def test_scope_layer_gives_a_task_for_each_family_or_layer():
    filters = plan("  - {match: all, scope: layer, scheme: {filter: {}}}\n").tasks_at({"sparsity": 0.5})
    weights = plan("  - {match: block.*, scope: layer, scheme: {prune: {}}}\n").tasks_at({"sparsity": 0.5})

    assert [[family.name for family in task.families] for task in filters] == [["stem"], ["block.conv1"]]
    assert [task.names for task in weights] == [("block.conv1.weight",), ("block.conv2.weight",)]


def test_scope_model_joins_rules_with_equal_schemes_only():
    rules = "".join(
        f"  - {{match: {name}, scope: model, scheme: {{prune: {{sparsity: {sparsity}}}}}}}\n"
        for name, sparsity in [("stem", 0.5), ("block.conv1", 0.25), ("odd", 0.5)]
    )

    tasks = plan(rules).tasks_at({})

    assert [(task.names, task.scheme.sparsity) for task in tasks] == [
        (("stem.weight", "odd.weight"), 0.5),
        (("block.conv1.weight",), 0.25),
    ]


def test_scope_model_joins_the_rules_of_one_family():
    rules = (
        "  - {match: stem, scope: model, scheme: {filter: {}}}\n"
        "  - {match: block.conv2, scope: model, scheme: {filter: {}}}\n"
    )

    (task,) = plan(rules).tasks_at({"sparsity": 0.5})

    assert [family.name for family in task.families] == ["stem"]


def test_a_list_of_schemes_is_composed_in_order():
    (task,) = plan("  - match: block.conv1\n    scheme: [filter: {}, quantize: {dtype: fp16}]\n").tasks_at(
        {"sparsity": 0.5}
    )

    assert task.scheme.name == "compose"
    assert [scheme.name for scheme in task.scheme.schemes] == ["filter", "quantize"]


def test_arithmetic_over_a_knob_is_done_per_point_and_tells_the_strong_end():
    more = "knobs: {density: {range: [0.1, 0.9]}}\n"
    bound = plan("  - {match: all, scheme: {prune: {sparsity: $(1 - density)}}}\n", more=more)

    assert bound.tasks_at({"density": 0.25})[0].scheme.sparsity == 0.75
    assert bound.space.strongest == {"density": "low"}


def test_fewer_values_or_ranks_compress_more():
    more = "knobs: {k: {choices: [2, 4, 16]}}\n"

    book = plan("  - {match: all, scheme: [prune: {sparsity: 0.5}, codebook: {size: $k}]}\n", more=more)
    rank = plan("  - {match: fc, scheme: {lowrank: {rank: $k}}}\n", more=more)

    assert book.space.strongest == rank.space.strongest == {"k": "low"}
    assert book.tasks_at({"k": 4})[0].scheme.schemes[1].size == 4


def test_a_sum_is_built_of_its_parts_and_its_knobs_are_found():
    bound = plan("  - {match: [hidden, fc], scope: layer, scheme: {sum: [codebook: {size: 2}, prune: {}]}}\n")

    hidden, fc = bound.tasks_at({"sparsity": 0.9})

    assert [scheme.name for scheme in hidden.scheme.schemes] == ["codebook", "prune"]
    assert hidden.scheme.schemes[1].sparsity == 0.9 and fc.names == ("fc.weight",)
    assert bound.rows()[0]["scheme"] == "(codebook size 2 + prune $sparsity magnitude)"


def test_two_rules_may_share_a_layer_but_not_a_tensor():
    weights = "  - {match: fc, params: weight, scheme: {codebook: {size: 4}}}\n"

    bound = plan(weights + "  - {match: fc, params: bias, scheme: {quantize: {dtype: float16}}}\n")

    assert [task.names for task in bound.tasks_at({})] == [("fc.weight",), ("fc.bias",)]
    (problem,) = refused(weights + "  - {match: fc, params: [weight, bias], scheme: {quantize: {dtype: float16}}}\n")
    assert "E210 1 layer of this rule is already claimed by layers[0] on line 8: fc" in problem


def test_weights_of_recurrent_layers_and_attention_are_found_without_naming_them():
    model = nn.ModuleDict({"lstm": nn.LSTM(3, 4), "attention": nn.MultiheadAttention(4, 2)})
    graph = ModelGraph(tuple(layer(name, module) for name, module in model.items()), (), (), {}, {}, 1, 1)

    (task,) = plan("  - {match: all, scheme: {ternary: {}}}\n", model_and_graph=(model, graph)).tasks_at({})

    assert task.names == ("lstm.weight_ih_l0", "lstm.weight_hh_l0", "attention.in_proj_weight")
    each = sum(model["lstm"].get_parameter(f"weight_{kind}_l0").numel() for kind in ("ih", "hh"))
    assert task.uses["lstm.weight_hh_l0"] == pytest.approx(1 / each)  # the layer's work, shared by size


def test_a_pattern_that_does_not_fit_a_tensor_is_reported_where_it_is_named():
    recipe = read_recipe_text(
        HEAD + "patterns: {mine: {python: m.py:mine}}\n"
        "layers:\n  - {match: [hidden, fc], scheme: {prune: {pattern: mine, sparsity: 0.5}}}\n",
        "net.yaml",
    )
    model, graph = residual()

    with pytest.raises(PlanError) as error:
        bind(recipe, model, graph, {"mine": lambda shape: np.zeros(shape)})
    (problem,) = error.value.problems
    assert problem.code == "E226" and problem.place.line == 9 and "must return integers" in problem.message
    columns = {"mine": lambda shape: np.broadcast_to(np.arange(shape[1]), shape)}
    (task,) = bind(recipe, model, graph, columns).tasks_at({})
    assert callable(task.scheme.pattern)


@pytest.mark.parametrize(
    "scheme",
    [
        "block: {sparsity: 0.5, shape: [4, 4, 4]}",
        "sum: [codebook: {size: 2}, block: {sparsity: 0.5, shape: [4, 4, 4]}]",
    ],
)
def test_a_block_that_does_not_fit_a_weight_is_reported_where_its_shape_is_given(scheme):
    rule = f"  - {{match: [fc, stem], scheme: {{{scheme}}}}}\n"

    assert refused(rule) == [
        f"8:{rule.index('[4, 4, 4]') + 1} E222 block: shape [4, 4, 4] does not fit stem.weight,"
        " which has 4 dimensions: [4, 3, 3, 3]"
        " = give one number for each dimension, or two for the matrix of outputs and inputs"
    ]


@pytest.mark.parametrize("knobs", [{}, {"sparsity": 0.96}, {"sparsity": "high"}, {"sparsity": 0.5, "other": 1}])
def test_knob_values_outside_the_space_are_refused(knobs):
    bound = plan("  - {match: all, scheme: {filter: {}}}\n")

    with pytest.raises(UsageError, match="knob"):
        bound.tasks_at(knobs)


def test_kept_layers_are_passed_over_by_patterns_and_their_families_stay_whole():
    bound = plan("  - {match: all, scheme: {filter: {}}}\n", keep="[stem, {match: re:fc|odd, why: tiny}]")

    (task,) = bound.tasks_at({"sparsity": 0.5})

    assert bound.kept == ("stem", "odd", "fc")
    assert [family.name for family in task.families] == ["block.conv1"]
    assert warned(bound) == [
        "9:13 W211 channels of 'block.conv2' stay: it must lose the same ones as 'stem', and 'stem' is in keep"
    ]


def test_types_roles_and_exceptions_narrow_a_rule():
    typed = plan("  - {match: all, type: Linear, scheme: {prune: {}}}\n").tasks_at({"sparsity": 0.5})
    role = plan("  - {match: all, role: [first, last], scheme: {prune: {}}}\n").tasks_at({"sparsity": 0.5})
    rest = plan("  - {match: all, except: {type: Linear, role: last}, scheme: {prune: {}}}\n").tasks_at(
        {"sparsity": 0.5}
    )
    named = plan("  - {match: all, except: [block.*, fc], scheme: {prune: {}}}\n").tasks_at({"sparsity": 0.5})

    assert typed[0].names == ("hidden.weight", "fc.weight")
    assert role[0].names == ("stem.weight", "fc.weight")
    assert "hidden.weight" in rest[0].names and "fc.weight" not in rest[0].names
    assert named[0].names == ("stem.weight", "odd.weight", "hidden.weight")


def test_params_choose_tensors():
    (task,) = plan(
        "  - {match: all, params: [b*], scheme: {quantize: {dtype: fp16}}}\n", more="search: {method: none}\n"
    ).tasks_at({})

    assert task.names == tuple(
        f"{name}.bias" for name in ["stem", "norm", "block.conv1", "block.conv2", "odd", "hidden", "fc"]
    )


def test_a_rule_overrides_an_earlier_one():
    bound = plan(
        "  - {match: all, scheme: {prune: {sparsity: 0.5}}}\n"
        "  - {match: fc, override: true, scheme: {prune: {sparsity: 0.1}}}\n"
    )

    tasks = bound.tasks_at({})

    assert "fc.weight" not in tasks[0].names
    assert (tasks[1].names, tasks[1].scheme.sparsity) == (("fc.weight",), 0.1)


def test_a_rule_of_which_nothing_is_left_is_reported():
    bound = plan(
        "  - {match: fc, scheme: {prune: {sparsity: 0.5}}}\n"
        "  - {match: fc, override: true, scheme: {prune: {sparsity: 0.1}}}\n"
    )

    assert warned(bound) == ["8:13 W210 layers[1] on line 9 overrides every layer of this rule"]
    assert len(bound.tasks_at({})) == 1


def test_tied_tensors_are_claimed_once():
    model = nn.ModuleDict({"encoder": nn.Embedding(9, 4), "decoder": nn.Linear(4, 9, bias=False)})
    model["decoder"].weight = model["encoder"].weight
    graph = ModelGraph(tuple(layer(name, module) for name, module in model.items()), (), (), {}, {}, 1, 36)

    (task,) = plan("  - {match: all, scheme: {prune: {}}}\n", model_and_graph=(model, graph)).tasks_at(
        {"sparsity": 0.5}
    )

    assert task.names == ("encoder.weight",)
    assert refused(
        "  - {match: encoder, scheme: {prune: {}}}\n  - {match: decoder, scheme: {prune: {}}}\n",
        model_and_graph=(model, graph),
    ) == [
        "9:13 E213 'encoder' and 'decoder' share the tensor 'encoder.weight', and two rules claim it"
        " = keep one rule; layers[0] on line 8 has it already"
    ]


def test_wrappers_of_the_model_are_no_part_of_names():
    bound = plan("  - {match: block.*, scheme: {filter: {}}}\n", model_and_graph=residual("module."))

    (task,) = bound.tasks_at({"sparsity": 0.5})

    assert task.names == ("module.block.conv1.weight",)


def test_rows_tell_what_each_rule_does():
    bound = plan(
        "  - {match: [block.conv1], scheme: {filter: {align: 2}}}\n"
        "  - {match: 're:hidden|fc', scheme: [prune: {sparsity: 0.5}, quantize: {dtype: fp16}]}\n"
    )

    # block.conv1.weight has 6 x 4 x 3 x 3 elements; hidden.weight 7 x 5 and fc.weight 2 x 7
    assert bound.rows() == [
        {
            "line": 8,
            "rule": "block.conv1",
            "layers": 1,
            "total": 7,
            "parameters": 216,
            "scheme": "filter $sparsity align 2 l2",
            "knob": "sparsity",
        },
        {
            "line": 9,
            "rule": "re:hidden|fc",
            "layers": 2,
            "total": 7,
            "parameters": 49,
            "scheme": "prune 0.5 magnitude + quantize float16",
            "knob": "",
        },
    ]


def test_a_row_writes_a_block_as_a_recipe_does():
    bound = plan("  - {match: block.*, scheme: {block: {sparsity: 0.5, shape: [4, 2]}}}\n")

    assert bound.rows()[0]["scheme"] == "block 0.5 shape [4, 2] l2"


def test_overriding_nothing_and_leaving_out_nothing_is_told():
    alone = plan("  - {match: fc, override: true, scheme: {prune: {sparsity: 0.1}}}\n")
    beside = plan("  - {match: fc, except: stem, scheme: {prune: {sparsity: 0.1}}}\n")
    unfit = plan("  - {match: all, except: {match: stem, type: Linear}, scheme: {prune: {sparsity: 0.1}}}\n")

    assert warned(alone) == ["8:27 W304 no earlier rule has a layer of this one, so 'override' changes nothing"]
    nothing = "W304 no layer of this rule fits all that 'except' says, so 'except' changes nothing"
    assert warned(beside) == [f"8:25 {nothing}"]
    assert warned(unfit) == [f"8:26 {nothing}"]
    assert warned(plan("  - {match: all, except: stem, scheme: {prune: {sparsity: 0.1}}}\n")) == []


ADVICE_OVERLAP = " = narrow one of the two rules, add 'except', or say 'override: true' here to replace the earlier one"
REFUSED = {
    "no match": (
        "  - {match: [stem, blocks.**], scheme: {filter: {}}}\n",
        "8:20 E203 no layer matches 'blocks.**' = did you mean 'block' for 'blocks'?"
        " names at the top of the model: stem, norm, block, odd, hidden, fc",
    ),
    "no match below": (
        "  - {match: block.conv22, scheme: {filter: {}}}\n",
        "8:13 E203 no layer matches 'block.conv22' = did you mean 'conv2' for 'conv22'?"
        " names under 'block': conv1, conv2",
    ),
    "a container": (
        "  - {match: block, scheme: {filter: {}}}\n",
        "8:13 E203 no layer matches 'block' = 'block' holds layers: write 'block.**' for all of them",
    ),
    "a tensor": (
        "  - {match: block.conv1.weight, scheme: {filter: {}}}\n",
        "8:13 E203 no layer matches 'block.conv1.weight'"
        " = layers are named without the tensor: write 'block.conv1' (and 'params: [weight]' to choose tensors)",
    ),
    "a wrapper": (
        "  - {match: module.stem, scheme: {filter: {}}}\n",
        "8:13 E203 no layer matches 'module.stem'"
        " = names carry no 'module.' prefix here; data-parallel wrappers are stripped",
    ),
    "half a regular expression": (
        "  - {match: 're:conv', scheme: {filter: {}}}\n",
        "8:13 E203 no layer matches 're:conv' = a regular expression must fit the whole name;"
        " 'block.conv1' holds it: write 're:.*conv.*'",
    ),
    "type": (
        "  - {match: block.**, type: Conv2D, scheme: {filter: {}}}\n",
        "8:29 E204 'block.**' matches 2 layers but none is a Conv2D = did you mean 'Conv2d'?",
    ),
    "role": (
        "  - {match: fc, role: depthwise, scheme: {prune: {}}}\n",
        "8:23 E204 'fc' matches 1 layer but none has the role depthwise = roles there: last",
    ),
    "not what the scheme is for": (
        "  - {match: fc, scheme: {filter: {}}}\n",
        "8:13 E204 'fc' is a Linear; 'filter' needs a convolution = for Linear write 'neuron'",
    ),
    "nothing for the scheme": (
        "  - {match: block.*, scheme: {neuron: {}}}\n",
        "8:13 E204 'block.*' matches 2 layers but none is a Linear = for Conv2d write 'filter'",
    ),
    "expected layers": (
        "  - {match: block.*, expect: 3, scheme: {filter: {}}}\n",
        "8:13 W211 channels of 'block.conv2' stay: it must lose the same ones as 'stem', and no rule matches 'stem'"
        " = match 'stem' in the same rule",
        "8:30 E207 'block.*' matched 2 layers, expected 3 = it matched block.conv1, block.conv2",
    ),
    "expected tensors": (
        "  - {match: fc, params: [weight, bias], expect: 1 tensors, scheme: {prune: {}}}\n",
        "8:49 E207 'fc' matched 2 tensors, expected 1 tensors = it matched fc.weight, fc.bias",
    ),
    "params": (
        "  - {match: fc, params: [weight_ih_l*], scheme: {prune: {}}}\n",
        "8:25 E208 'fc' (Linear) has no tensor 'weight_ih_l*'; it has weight, bias = choose with params: [weight]",
    ),
    "overlap": (
        "  - {match: all, scheme: {prune: {sparsity: 0.5}}}\n  - {match: block.*, scheme: {prune: {sparsity: 0.1}}}\n",
        "9:13 E210 2 layers of this rule are already claimed by layers[0] on line 8: block.conv1, block.conv2"
        + ADVICE_OVERLAP,
    ),
    "a family between rules": (
        "  - {match: stem, scheme: {filter: {sparsity: 0.5}}}\n"
        "  - {match: block.*, scheme: {filter: {sparsity: 0.1}}}\n",
        "9:13 E211 stem and block.conv2 must lose the same channels, but rules on lines 8 and 9 each claim one of them"
        " = put both in one rule",
    ),
    "half a family": (
        "  - {match: stem, scheme: {filter: {}}}\n",
        "8:13 E211 channels of 'stem' stay: it must lose the same ones as 'block.conv2', and no rule matches"
        " 'block.conv2' = match 'block.conv2' in the same rule",
    ),
    "frozen": (
        "  - {match: odd, scheme: {filter: {}}}\n",
        "8:13 E214 channels of 'odd' cannot be removed: their dimension is merged with another dimension"
        " (operator aten.pixel_shuffle.default) = take it out of this rule",
    ),
    "output": (
        "  - {match: fc, scheme: {neuron: {}}}\n",
        "8:13 E214 channels of 'fc' cannot be removed: their dimension is part of the model's output"
        " = take it out of this rule",
    ),
    "nothing to remove": (
        "  - {match: f*, scheme: {neuron: {}}}\n",
        "8:13 E214 'f*' matches 1 layer, but no channel can be removed = see: condensa inspect",
    ),
    "all at once": (
        "  - {match: [stm, stem], scheme: {filter: {}}}\n"
        "  - {match: fc, role: depthwise, scheme: {prune: {}}}\n"
        "  - {match: hidden, except: nothing, scheme: {prune: {}}}\n",
        "8:14 E203 no layer matches 'stm' = did you mean 'stem' for 'stm'?"
        " names at the top of the model: stem, norm, block, odd, hidden, fc",
        "9:23 E204 'fc' matches 1 layer but none has the role depthwise = roles there: last",
        "10:29 E203 no layer matches 'nothing' = names at the top of the model: stem, norm, block, odd, hidden, fc",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_the_model_is_refused_at_its_place(name):
    rules, *expected = REFUSED[name]

    assert refused(rules) == expected


def test_a_kept_layer_named_by_a_rule_is_refused():
    assert refused("  - {match: [stem, 'h*'], scheme: {prune: {}}}\n", keep="[stem]") == [
        "9:14 E212 'stem' is in keep (line 7) and matched by name here = take it out of 'keep', or out of this rule"
    ]


def test_keep_that_keeps_nothing_is_refused():
    assert refused("  - {match: all, scheme: {prune: {}}}\n", keep="[fcc]") == [
        "7:8 E203 no layer matches 'fcc' = did you mean 'fc' for 'fcc'?"
        " names at the top of the model: stem, norm, block, odd, hidden, fc"
    ]


def test_a_real_residual_network_is_planned_whole():
    from condensa_core.graph import analyse
    from condensa_core.workload.zoo import zoo_model

    model = zoo_model("resnet20", 10, (3, 32, 32), {})
    graph = analyse(model, (torch.randn(2, 3, 32, 32),))

    bound = bind(read_recipe_text(HEAD + "layers:\n  - {match: all, scheme: {filter: {}}}\n"), model, graph)

    (task,) = bound.tasks_at({"sparsity": 0.5})
    # three streams, and the inner channels of 3 blocks in each of 3 stages
    assert sorted(family.size for family in task.families) == sorted([16, 32, 64] + [16, 32, 64] * 3)
    assert bound.problems == ()
    assert set(task.names) <= {name for name, _ in model.named_parameters()}
    assert not any(name.startswith("fc.") for name in task.names)


@pytest.mark.parametrize(
    ("match", "kind", "advice"),
    [
        ("all", "filter", "for Linear, MultiheadAttention, NonDynamicallyQuantizableLinear write 'structure'"),
        ("layer.self_attn", "neuron", "for MultiheadAttention write 'structure'"),
        ("layer.linear*", "filter", "for Linear write 'neuron'"),
        ("layer.norm1", "filter", "types there: LayerNorm"),
    ],
)
def test_the_scheme_that_is_advised_takes_all_layers_that_have_units(match, kind, advice):
    from condensa_core.graph import analyse

    model = nn.Sequential()
    model.embed, model.layer = nn.Linear(6, 12), nn.TransformerEncoderLayer(12, 3, 10, batch_first=True)
    model.head = nn.Linear(12, 2)
    found = model, analyse(model, (torch.randn(2, 5, 6),))

    (problem,) = refused(f"  - {{match: {match}, scheme: {{{kind}: {{}}}}}}\n", model_and_graph=found)

    assert problem.endswith(f" = {advice}")
    if "write" in advice:
        plan(f"  - {{match: {match}, scheme: {{{advice.split()[-1][1:-1]}: {{}}}}}}\n", model_and_graph=found)


def test_a_rule_whose_layers_are_all_kept_is_refused():
    rule = "  - {match: all, scheme: {prune: {sparsity: 0.5}}}\n"

    (problem,) = refused(rule, keep="[all]")

    assert problem.startswith("9:13 E209 nothing is left of this rule: 'except' and 'keep' take all")


def test_an_exception_that_no_layer_fits_is_refused():
    assert refused("  - {match: all, except: {type: linear}, scheme: {prune: {sparsity: 0.5}}}\n") == [
        "8:33 E204 'except' names type 'linear', but no layer of this rule has it = did you mean 'Linear'?"
    ]
