"""Several knobs in a plan: which end of each compresses more, and what a chosen precision leaves out."""

import pytest
from torch import nn

from condensa_core.errors import PlanError
from condensa_core.graph import analyse
from condensa_core.plan import bind
from condensa_core.recipe import read_recipe_text

HEAD = """\
condensa: 1
model: {builtin: small-cnn}
data: {builtin: digits}
constraint: {metric: top1, max_drop: 2pp}
objective: {minimize: size.packed}
"""


@pytest.fixture(scope="module")
def net():
    import torch

    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)).eval()
    return model, analyse(model, (torch.zeros(2, 6),))


def bound(net, knobs, *rules):
    text = HEAD + f"knobs: {knobs}\nlayers:\n" + "".join(f"  - {rule}\n" for rule in rules)
    return bind(read_recipe_text(text, "r.yaml"), *net)


@pytest.mark.parametrize(
    ("choices", "scheme", "mild_to_strong"),
    [
        ("[float32, float16, int8]", "quantize: {dtype: $k}", ("float32", "float16", "int8")),
        ("[int8, float32, bf16, fp16]", "quantize: {dtype: $k}", ("float32", "fp16", "bf16", "int8")),
        ("[int4, int8, uint4]", "quantize: {dtype: $k}", ("int8", "int4", "uint4")),
        ("[2, 16, 256]", "codebook: {size: $k}", (256, 16, 2)),
        ("[1, 2, 3]", "lowrank: {rank: $k}", (3, 2, 1)),
        ("[1, 2]", "block: {sparsity: 0.5, shape: [$k, 1]}", (1, 2)),
        ("[0.3, 0.5]", "prune: {sparsity: $(1 - k)}", (0.5, 0.3)),
    ],
)
def test_choices_stand_from_mild_to_strong(net, choices, scheme, mild_to_strong):
    plan = bound(net, f"{{k: {{choices: {choices}}}}}", f"{{match: all, scheme: {{{scheme}}}}}")

    assert plan.space.choices == {"k": mild_to_strong}
    assert plan.space.strongest_point() == {"k": mild_to_strong[-1]}


def test_the_strong_end_of_a_knob_is_that_at_the_usual_values_of_the_others(net):
    # with a = 0, its first value, b would change nothing
    knobs = "{a: {range: [0.0, 1.0]}, b: {range: [0.1, 0.9]}}"

    plan = bound(net, knobs, "{match: all, scheme: {prune: {sparsity: $(0.9 - a * b)}}}")

    assert plan.space.strongest == {"a": "low", "b": "low"}


def test_each_size_of_a_block_may_be_a_knob(net):
    knobs = "{rows: {choices: [1, 2, 4]}, columns: {range: [1, 2], step: 1}, s: {range: [0.0, 0.9]}}"

    plan = bound(net, knobs, "{match: all, scheme: {block: {sparsity: $s, shape: [$rows, $columns]}}}")

    (task,) = plan.tasks_at({"s": 0.5, "rows": 4, "columns": 2})
    assert task.scheme.shape == (4, 2)
    assert plan.rows()[0]["scheme"] == "block $s shape [$rows, $columns] l2"


def test_a_block_that_does_not_fit_is_refused_before_anything_runs(net):
    with pytest.raises(PlanError) as refused:
        bound(net, "{rows: {choices: [2, 3]}}", "{match: all, scheme: {block: {sparsity: 0.5, shape: [$rows, 1, 1]}}}")

    (problem,) = refused.value.problems
    assert problem.code == "E222" and "does not fit 0.weight" in problem.message


def test_a_chosen_precision_leaves_weights_alone_or_takes_what_belongs_to_it(net):
    knobs = "{s: {range: [0.0, 0.9]}, p: {choices: [float32, fp16, int8]}}"
    quantize = "quantize: {dtype: $p, granularity: channel, activations: int8}"
    plan = bound(
        net, knobs,
        f"{{match: '0', scheme: [neuron: {{sparsity: $s}}, {quantize}]}}", f"{{match: '2', scheme: {{{quantize}}}}}",
    )  # fmt: skip

    def schemes(precision):
        tasks = plan.tasks_at({"s": 0.5, "p": precision})
        return [[one.name for one in getattr(t.scheme, "schemes", (t.scheme,))] for t in tasks]

    assert schemes("float32") == [["neuron"]]
    assert schemes("fp16") == schemes("int8") == [["neuron", "quantize"], ["quantize"]]
    half, eight = (plan.tasks_at({"s": 0.5, "p": p})[1].scheme for p in ("fp16", "int8"))
    assert (half.dtype, half.granularity) == ("float16", "tensor")
    assert (eight.dtype, eight.granularity) == ("int8", "channel")
    assert plan.observers({"s": 0.5, "p": "fp16"}) == plan.observers({"s": 0.5, "p": "float32"}) == {}
    assert {"0.weight", "2.weight"} <= plan.observers({"s": 0.5, "p": "int8"}).keys()
