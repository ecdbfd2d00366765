"""What `condensa inspect` says of a model: groups, units, costs, reasons, operators, routes, and refusals."""

import json
import re
import textwrap

import pytest

OWN = """
import torch
import torch.nn.functional as F
from torch import nn


@torch.library.custom_op("condensa_inspect::turned", mutates_args=())
def turned(x: torch.Tensor) -> torch.Tensor:
    return x.roll(1, 1) * 2


@turned.register_fake
def _(x):
    return torch.empty_like(x)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.front = nn.Conv2d(1, 8, 3, padding=1)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.norm = nn.LayerNorm(6)
        self.odd = nn.Conv2d(8, 6, 1)
        self.other = nn.Linear(6, 12)
        self.head = nn.Linear(12, 10)

    def forward(self, x):
        x = self.odd(F.relu(self.grouped(self.front(x))))
        x = self.norm(x.mean((2, 3)))
        return self.head(turned(self.other(x)))


class Written(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(1, 8, 3, padding=1)
        self.b = nn.Linear(8 * 64, 10)

    def forward(self, x):
        return self.b(self.a(x).view(-1, 512))


class Plain(Written):
    def forward(self, x):
        return self.b(self.a(x).flatten(1))


class OneBatch(Written):
    def forward(self, x):
        return self.b(self.a(x).flatten(1) * torch.ones(len(x), 1).softmax(1))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(8, 16)
        self.mix = nn.MultiheadAttention(16, 4, batch_first=True)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        x = self.embed(x.flatten(1, 2))
        x = x + self.mix(x, x, x, need_weights=False)[0]
        return self.head(x.mean(1))


class Branching(Written):
    def forward(self, x):
        x = self.a(x)
        if x.mean() > 0:
            x = -x
        return self.b(x.flatten(1))


class Outside(Written):
    def forward(self, x):
        return self.b(torch.from_numpy(self.a(x).detach().numpy()).flatten(1))


class Selecting(Written):
    def forward(self, x):
        x = self.a(x).flatten(1)
        return self.b(x)[(x.sum(1) < 1e9).nonzero().flatten()]


class Masked(Written):
    def forward(self, input_ids, attention_mask):
        return self.b(self.a(input_ids).flatten(1)) * attention_mask


class Translating(Written):
    def forward(self, src, tgt, src_mask=None):
        return self.b(self.a(src).flatten(1)) + tgt


class Detecting(Written):
    def forward(self, images, targets):
        return self.b(self.a(images).flatten(1))


class Gated(Written):
    def forward(self, x, *, strength):
        return self.b(self.a(x).flatten(1)) * strength


class Scores(Written):
    def forward(self, x):
        return {"logits": self.b(self.a(x).flatten(1))}


class Boxes(Written):
    def forward(self, x):
        return [{"boxes": self.a(image)} for image in x]
"""


TARGETS = "targets: {edge: {batch: 4}, other: {batch: 2}}\n"


@pytest.fixture
def recipe_of(tmp_path):
    """A recipe whose model is this class of OWN."""

    def made(name, extra=""):
        (tmp_path / "own.py").write_text(OWN)
        file = tmp_path / f"{name}.yaml"
        file.write_text(
            textwrap.dedent(
                f"""\
                condensa: 1
                model: {{python: "own.py:{name}"}}
                data: {{builtin: digits}}
                layers: [{{match: all, scheme: {{structure: {{}}}}}}]
                constraint: {{metric: top1, max_drop: 2pp}}
                objective: {{minimize: macs}}
                """
            )
            + extra
        )
        return file

    return made


def inspected(condensa, *arguments):
    answer = condensa("inspect", "--json", "--quiet", *arguments)
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def line_with(text):
    return 1 + next(i for i, line in enumerate(OWN.splitlines()) if text in line)


def test_groups_have_units_members_and_what_one_unit_costs(condensa, recipe_of):
    recipe = recipe_of("Block")

    document = inspected(condensa, recipe)

    front, odd = (next(f for f in document["families"] if f["name"] == name) for name in ("front", "odd"))
    # Channels i and i + 4 stand at one place of the two groups. With them go two filters of 9 weights and a bias, and
    # column i of all 8 grouped filters; images have 8 x 8 places.
    assert (front["size"], front["unit"], front["layers"]) == (4, "group", ["front"])
    assert front["per_unit"]["parameters"] == 2 * (9 + 1) + 8 * 9
    assert front["per_unit"]["macs"] == 64 * (2 * 9 + 8 * 9)
    assert {(m["tensor"], m["dim"], m["side"], m["positions_per_unit"]) for m in front["members"]} == {
        ("front.weight", 0, "produces", 2),
        ("front.bias", 0, "follows", 2),
        ("grouped.weight", 1, "consumes", 1),
    }
    assert (odd["size"], odd["unit"], odd["averaged"]) == (6, "channel", ["layer_norm"])
    shown = condensa("inspect", "--quiet", recipe).out
    assert re.search(r"^front +4  group of 2 +5\.76 k +92  grouped$", shown, re.MULTILINE)
    assert re.search(r"^odd +6  channel .* layer_norm$", shown, re.MULTILINE)


def test_a_group_costs_what_all_its_units_hold(condensa):
    document = inspected(condensa, "lenet300", "--input", "784")

    # 784-300-100-10: without the 300 only the biases of what comes after them are left
    first, second = document["families"]
    assert first["parameters"] == 300 * (784 + 1) + 300 * 100
    assert first["per_unit"]["parameters"] == 784 + 1 + 100
    assert second["macs"] == 100 * (300 + 10)
    assert second["per_unit"]["macs"] == 300 + 10


def test_frozen_layers_name_the_operator_and_the_line_of_the_users_model(condensa, recipe_of):
    recipe = recipe_of("Block")

    document = inspected(condensa, recipe)
    shown = condensa("inspect", "--quiet", recipe).out

    frozen = {item["layer"]: item for item in document["frozen"]}
    assert set(frozen) == {"other", "head"}
    assert frozen["other"]["operator"] == "condensa_inspect.turned.default"
    assert frozen["other"]["line"] == f"own.py:{line_with('turned(self.other')}"
    assert re.search(
        rf"^other +passes through .* condensa_inspect\.turned +own\.py:{frozen['other']['line'][7:]}$", shown, re.M
    )
    assert document["unknown_operators"] == {"condensa_inspect.turned.default": ""}
    assert "unknown    condensa_inspect.turned in the model itself" in shown


def test_the_report_counts_every_operator_that_was_met(condensa, recipe_of):
    recipe = recipe_of("Block")

    document = inspected(condensa, recipe)
    shown = condensa("inspect", "--quiet", recipe).out

    assert document["operators"]["aten.conv2d.default"] == 3
    assert document["operators"]["aten.linear.default"] == 2
    paragraph = shown[shown.index("\noperators ") :]
    assert f"{sum(document['operators'].values())} calls of {len(document['operators'])}:" in paragraph
    assert "conv2d 3" in paragraph and "condensa_inspect.turned 1" in paragraph


@pytest.mark.parametrize(
    ("model", "routes", "said"),
    [
        ("Plain", ["module", "program"], "your own classes"),
        ("OneBatch", ["module"], "one batch size only"),
        ("Written", ["program"], "the captured program, cut"),
    ],
)
def test_it_says_how_smaller_models_are_made(condensa, recipe_of, model, routes, said):
    recipe = recipe_of(model)

    assert inspected(condensa, recipe)["routes"] == routes
    assert said in condensa("inspect", "--quiet", recipe).out


def test_heads_are_called_heads(condensa, recipe_of):
    document = inspected(condensa, recipe_of("Attention"))

    assert {f["unit"]: f["size"] for f in document["families"] if f["layers"][0].startswith("mix")} == {"head": 4}


def test_away_from_a_terminal_no_row_is_folded(condensa, recipe_of, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")

    shown = condensa("inspect", "--quiet", "--groups", "--layers", "resnet20").out

    document = inspected(condensa, "resnet20")
    lines = shown.splitlines()
    for family in document["families"]:
        row = re.compile(rf"{re.escape(family['name'])} +{family['size']}  channel +\S")
        assert sum(bool(row.match(line)) for line in lines) == 1
        for member in family["members"]:
            row = re.compile(
                rf"{re.escape(family['name'])} +{member['side']} +{re.escape(member['tensor'])} +{member['dim']} "
            )
            assert sum(bool(row.match(line)) for line in lines) == 1
    for layer in document["layers"]:
        assert any(re.match(rf"{re.escape(layer['name'])} +{layer['type']} ", line) for line in lines)


def test_on_a_terminal_tables_are_fitted_to_its_width(condensa, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "50")

    shown = condensa("inspect", "--quiet", "lenet5", "--input", "1x28x28").out

    table = re.sub(r"\x1b\[[0-9;]*m", "", shown).split("operators ")[0]
    assert "conv1" in table
    assert max(map(len, table.splitlines()[1:])) <= 50


def test_the_first_page_of_common_models_fits_eighty_columns(condensa):
    shown = condensa("inspect", "--quiet", "resnet20").out

    assert max(map(len, shown.splitlines())) <= 80


def test_the_latency_of_single_cuts_stands_beside_their_macs(condensa, recipe_of):
    recipe = recipe_of("Plain", TARGETS)

    document = inspected(condensa, recipe, "--latency", "--target", "edge", "--seconds", "0.1")

    assert document["latency"]["target"]["batch"] == 4
    (group,) = document["latency"]["groups"]
    assert [cut["kept"] for cut in group["cuts"]] == [6, 4, 2, 1]
    # every filter takes its 64 places x 9 products and 64 x 10 in the linear layer: MACs shrink with the kept filters
    assert [cut["macs_ratio"] for cut in group["cuts"]] == pytest.approx([8 / 6, 2, 4, 8])
    for cut in group["cuts"]:
        low, high = cut["ratio"]["low"], cut["ratio"]["high"]
        assert cut["verdict"] == ("faster" if low > 1.02 else "slower" if high < 1 / 1.02 else "not distinguishable")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--latency", "--target", "edgy"], "did you mean 'edge'?"),
        (["--target", "edge"], "--latency"),
        (["--seconds", "2"], "--seconds is for --latency"),
        (["--input", "1x8x8"], "--input is for built-in models"),
        (["--latency", "--classes", "10"], "--classes is for built-in models"),
        (["--latency", "--seconds", "nan"], "--seconds"),
        (["--latency", "--seconds", "0"], "--seconds"),
    ],
)
def test_options_that_make_no_sense_for_a_recipe_are_refused(condensa, recipe_of, arguments, complaint):
    recipe = recipe_of("Plain", TARGETS)

    answer = condensa("inspect", recipe, *arguments)

    assert answer.code == 2
    assert complaint in answer.err


def test_latency_of_a_builtin_model_needs_a_recipe(condensa):
    answer = condensa("inspect", "lenet5", "--latency")

    assert answer.code == 2
    assert "needs a recipe" in answer.err


@pytest.mark.parametrize(
    ("model", "line", "remedy"),
    [("Branching", "if x.mean() > 0", "torch.where"), ("Outside", "torch.from_numpy", "NumPy")],
)
def test_a_model_that_cannot_be_captured_is_refused_with_its_line_and_a_remedy(
    condensa, recipe_of, model, line, remedy
):
    recipe = recipe_of(model)

    answer = condensa("inspect", "--json", "--quiet", recipe)

    document = json.loads(answer.out)
    assert answer.code == document["exit_code"] == 2
    assert document["reasons"][0].startswith(f"torch.export cannot capture {model} at own.py:{line_with(line)}: ")
    assert remedy in document["hint"]
    assert document["place"] == f"{recipe}:2:17"
    assert "def forward" not in answer.err  # torch prints the graph it had so far


def test_sizes_that_only_the_data_tells_freeze_what_they_pick_from(condensa, recipe_of):
    answer = condensa("inspect", "--quiet", "--json", recipe_of("Selecting"))

    frozen = json.loads(answer.out)["frozen"]
    assert answer.code == 0
    assert [(entry["layer"], entry["operator"]) for entry in frozen] == [("b", "aten.index.Tensor")]
    assert frozen[0]["line"] == f"own.py:{line_with('.nonzero()')}"


@pytest.mark.parametrize(
    ("model", "needed", "advice"),
    [
        ("Masked", "(input_ids, attention_mask)", "torch.ones_like(ids)"),
        ("Translating", "(src, tgt)", "encoder"),
        ("Detecting", "(images, targets)", "backbone"),
        ("Gated", "(x, strength)", "makes the others itself"),
    ],
)
def test_a_model_that_needs_more_inputs_names_them_and_what_to_do(condensa, recipe_of, model, needed, advice):
    answer = condensa("inspect", "--quiet", recipe_of(model))

    assert answer.code == 2
    assert f"the forward of own.py:{model} needs 2 inputs {needed}" in answer.err
    assert advice in answer.err.partition("help:")[2]


@pytest.mark.parametrize("model", ["Scores", "Boxes"])
def test_a_model_that_gives_no_tensor_is_told_to_be_wrapped(condensa, recipe_of, model):
    answer = condensa("inspect", "--quiet", recipe_of(model))

    assert answer.code == 2
    assert "returns the tensor of scores alone" in answer.err
