"""What a projection would refuse is refused by the plan, at the recipe's line."""

import pytest
import torch
from torch import nn

from condensa_core.errors import PlanError, SchemeError
from condensa_core.graph import analyse
from condensa_core.learning import input_metrics
from condensa_core.plan import bind
from condensa_core.randomness import Seed
from condensa_core.recipe import read_recipe_text
from condensa_core.schemes import LowRank, Target
from condensa_core.workload.batches import TensorBatches

EXAMPLE = (torch.zeros(2, 4, 6, 6),)


class Net(nn.Module):
    """plain -> grouped -> fc."""

    def __init__(self):
        super().__init__()
        self.plain = nn.Conv2d(4, 6, 3, padding=1)
        self.grouped = nn.Conv2d(6, 6, 3, groups=3)
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(self.grouped(self.plain(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    model = Net().eval()
    return model, analyse(model, EXAMPLE)


def bound(net, scheme, match="all", more="", own=None):
    text = (
        "condensa: 1\nname: net\nmodel: {builtin: small-cnn}\ndata: {builtin: digits}\n"
        "constraint: {metric: top1, max_drop: 2pp}\nobjective: {minimize: macs}\n"
        f"{more}\nlayers:\n  - {{match: {match}, scheme: {scheme}}}\n"
    )
    return bind(read_recipe_text(text, "net.yaml"), *net, own)


def refused(net, scheme, **kwargs):
    with pytest.raises(PlanError) as error:
        bound(net, scheme, **kwargs)
    return [f"{p.code} {p.message}" for p in error.value.problems], error.value.problems[0]


def test_settings_that_only_clash_at_one_value_of_a_knob_are_refused_before_it_is_tried(net):
    more = "knobs: {k: {choices: [1, 4]}}"

    said, problem = refused(net, "{codebook: {size: $k, zero: true}}", more=more)

    assert said == ["E222 codebook: size must be at least 2 (two numbers, one of them zero), got 1"]
    assert problem.key_path == ("layers", 0, "scheme", 0, "codebook") and problem.place.line == 9
    bound(net, "{codebook: {size: $k}}", more=more)


def test_every_clash_of_a_rule_is_told_with_its_own_scheme(net):
    more = "knobs: {k: {choices: [1, 4]}}"

    said, problem = refused(
        net, "{sum: [{codebook: {size: $k, zero: true}}, {block: {sparsity: 0.5, shape: [2, 2, 2]}}]}", more=more
    )

    assert [text.split()[:2] for text in said] == [["E222", "codebook:"], ["E222", "block:"]]
    assert problem.key_path == ("layers", 0, "scheme", 0, "sum", 0, "codebook")


def test_what_comes_after_removed_channels_is_looked_at_too(net):
    removing, match = "[filter: {sparsity: 0.5}, block: {sparsity: 0.5, SHAPE}]", "[plain, grouped]"

    said, _ = refused(net, removing.replace("SHAPE", "shape: [2, 2, 2]"), match=match)

    assert [text.split()[:2] for text in said] == [["E222", "block:"]]
    plan = bound(net, removing.replace("SHAPE", "shape: [1, 1, 3, 3], align: 9"), match=match)
    assert not plan.problems  # align counts blocks here, and there are more of them than channels


@pytest.mark.parametrize("metric", ["diagonal", "gram"])
@pytest.mark.parametrize("layer", ["plain", "grouped", "fc"])
@pytest.mark.parametrize("convolution", ["output", "kernel"])
def test_ranks_are_refused_exactly_where_their_projection_is(net, convolution, layer, metric):
    model, _ = net
    name = f"{layer}.weight"
    samples = torch.randn(8, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    batches = TensorBatches(samples, torch.zeros(8, dtype=torch.long), 4, seed=Seed(), training=False)
    measured = input_metrics(model, [name], batches, gram=metric == "gram")
    target = Target({name: model.get_parameter(name).detach()}, metrics=measured)
    settings = f"{{lowrank: {{rank: 2, convolution: {convolution}}}}}"
    more = f"compress: {{metric: {metric}}}"

    try:
        LowRank(rank=2, convolution=convolution).project(target)
    except SchemeError:
        said, problem = refused(net, settings, match=layer, more=more)
        assert len(said) == 1 and said[0].startswith(f"E218 errors shall be weighed by what '{layer}' reads")
        assert problem.help[-1] == "or compress: {metric: identity}"
    else:
        bound(net, settings, match=layer, more=more)


def test_a_metric_that_counts_by_default_is_looked_at_too(net):
    scheme = "{lowrank: {rank: 2, convolution: kernel}}"

    said, _ = refused(net, scheme, match="plain", more="compress: {method: direct}")

    assert said == [
        "E218 errors shall be weighed by what 'plain' reads, but 'convolution: kernel' lays them across rows and "
        "columns: no exact solution is known"
    ]
    bound(net, scheme, match="plain", more="compress: {method: direct, metric: identity}")
    bound(net, scheme, match="plain")


def test_a_criterion_of_the_users_is_tried_on_blocks_of_every_shape(net):
    def of_twelve(rows):
        return rows.view(-1, 12).sum(1)

    more = "knobs: {k: {choices: [4, 6]}}"
    scheme = "{{block: {{sparsity: 0.5, shape: [{}], criterion: {{python: own.py:of_twelve}}}}}}"
    own = {"own.py:of_twelve {}": of_twelve}

    said, problem = refused(net, scheme.format("2, $k"), match="plain", more=more, own=own)

    assert [text[:14] for text in said] == ["E223 criterion"]
    assert "of_twelve must give one score for each" in said[0]
    assert problem.key_path == ("layers", 0, "scheme", 0, "block", "criterion")
    bound(net, scheme.format("2, 6"), match="plain", own=own)  # 6 x 36: blocks of 12 weights, and no others


@pytest.mark.parametrize(
    ("scheme", "match", "told"),
    [
        ("{filter: {sparsity: 0.5, align: SIZE}}", "[plain, grouped]", 3),
        ("{lowrank: {rank: SIZE}}", "fc", 3),
        ("{lowrank: {rank: SIZE, convolution: kernel}}", "plain", 12),
        ("{prune: {kappa: SIZE}}", "fc", 18),
        ("{codebook: {size: SIZE}}", "fc", 18),
    ],
)
def test_a_number_beyond_the_sizes_of_the_model_is_told(net, scheme, match, told):
    def codes(size):
        return [(p.code, p.key_path[-1]) for p in bound(net, scheme.replace("SIZE", str(size)), match=match).problems]

    key = scheme.partition(": SIZE")[0].split()[-1].strip("{")

    assert codes(told) == codes(told + 9) == [("W304", key)]
    assert codes(told - 1) == []
