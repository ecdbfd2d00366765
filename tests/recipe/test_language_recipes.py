"""Recipes about text: the words they may use, and what is said where task, data and model do not go together."""

import pytest

from condensa_core.recipe import check_recipe, read_recipe_text, resolved_yaml
from condensa_core.recipe.vocabulary import BUILTIN_DATA, LANGUAGE_MODELS, METRIC_KINDS, TASKS, TEXT_DATA
from condensa_core.workload import DATASETS
from condensa_core.workload import LANGUAGE_MODELS as BUILT
from condensa_core.workload import METRICS as COMPUTED
from condensa_core.workload import TASKS as LEARNED
from condensa_core.workload.datasets import TextSource

SOUND = """\
condensa: 1
name: text
task: language-model

model: {builtin: lstm-lm, args: {hidden: 64}}
data: {builtin: python-text, level: word, vocabulary: 500, length: 32, max_bytes: 100000, val_fraction: 0.2}

metrics:
  ppl: {kind: perplexity}

layers:
  - match: lstm
    params: ['weight_*']
    scheme: {prune: {sparsity: 0.5}}

constraint: {metric: perplexity, max_rise: 2%}
objective: {minimize: macs}
search: {method: none}
"""


def told(tmp_path, *edits) -> list[str]:
    text = SOUND
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (tmp_path / "r.yaml").write_text(text)
    return [
        f"{p.place.line}:{p.place.column} {p.code} {p.message}" + "".join(f" = {advice}" for advice in p.help)
        for p in check_recipe(tmp_path / "r.yaml")
    ]


def test_a_sound_recipe_about_text(tmp_path):
    assert told(tmp_path) == []

    recipe = read_recipe_text(SOUND, "r.yaml", tmp_path)

    assert read_recipe_text(resolved_yaml(recipe), "r.yaml", tmp_path) == recipe
    assert recipe.better("ppl") == recipe.better("perplexity") == "lower"
    assert recipe.data.options == {
        "level": "word", "vocabulary": 500, "length": 32, "max_bytes": 100_000, "val_fraction": 0.2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        (
            [("task: language-model\n", "")],
            [
                "5:17 E109 builtin data 'python-text' is of text, task 'classification' is not"
                " = write task: language-model",
            ],
        ),
        (
            [("task: language-model", "task: langauge-model")],
            ["3:7 E107 unknown task 'langauge-model' = did you mean 'language-model'?"],
        ),
        (
            [("builtin: lstm-lm, args: {hidden: 64}", "builtin: lenet300")],
            [
                "5:18 E109 task 'language-model' is about text, builtin model 'lenet300' is not"
                " = of text: lstm-lm, transformer-lm",
            ],
        ),
        (
            [
                (
                    "python-text, level: word, vocabulary: 500, length: 32, max_bytes: 100000, val_fraction: 0.2",
                    "fashion-mnist",
                )
            ],
            [
                "6:17 E109 task 'language-model' is about text, builtin data 'fashion-mnist' is not"
                " = of text: python-text, text, wikitext2",
            ],
        ),
        (
            [("max_rise: 2%", "max_drop: 2%")],
            ["16:34 E403 'perplexity' is better when lower, so limit its rise = write max_rise"],
        ),
        (
            [("max_rise: 2%", "max_rise: 2pp")],
            [
                "16:44 E402 max_rise '2pp' has a unit that 'perplexity' cannot change by"
                " = write it in percent of the reference: 2%",
            ],
        ),
        ([("max_rise: 2%", "at_most: 4.5")], []),
        ([("max_rise: 2%", "at_most: 1.02x")], []),
        ([("metric: perplexity", "metric: loss")], []),
        (
            [("length: 32", "augment: flip")],
            [
                "6:60 E101 builtin data 'python-text' takes no 'augment'"
                " = it takes: batch, limit, level, length, vocabulary, val_fraction, max_bytes",
            ],
        ),
        (
            [("level: word", "level: letter")],
            ["6:37 E107 unknown level 'letter' = known: byte, char, word"],
        ),
        (
            [("level: word, ", "")],
            [
                "6:42 E109 bytes are a vocabulary of 256, which cannot be set = write level: char or level: word",
            ],
        ),
        (
            [("python-text,", "text,"), (", max_bytes: 100000", "")],
            ["6:7 E102 builtin data 'text' needs 'path', the folder of the text, or its only file"],
        ),
    ],
)
def test_what_does_not_go_together_is_told(tmp_path, edits, expected):
    assert told(tmp_path, *edits) == expected


def test_classifiers_have_no_perplexity(tmp_path):
    image = [
        ("task: language-model\n", ""),
        ("builtin: lstm-lm, args: {hidden: 64}", "builtin: lenet300"),
        (
            "python-text, level: word, vocabulary: 500, length: 32, max_bytes: 100000, val_fraction: 0.2",
            "digits",
        ),
    ]

    found = told(tmp_path, *image)

    assert [line.split(" = ")[0] for line in found] == [
        "8:15 E401 task 'classification' has no metric of kind 'perplexity'",
        "15:22 E401 metric 'perplexity' is not known",
    ]


def test_the_words_are_those_of_the_workload():
    assert {name: tuple(metric.name for metric in task.metrics) for name, task in LEARNED.items()} == dict(TASKS)
    assert {name: metric.better for name, metric in COMPUTED.items()} == {
        name: figure.better for name, figure in METRIC_KINDS.items()
    }
    assert set(LANGUAGE_MODELS) == set(BUILT)
    assert set(TEXT_DATA) == {name for name, source in DATASETS.items() if isinstance(source, TextSource)}
    assert set(TEXT_DATA) <= set(BUILTIN_DATA)
