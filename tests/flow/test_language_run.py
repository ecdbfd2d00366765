"""A language model from recipe to verdict: what it is judged on are tokens."""

import numpy as np

from condensa_core import flow
from condensa_core.recipe import read_recipe_text, recipe_from, resolved_yaml
from condensa_core.report import verdict

RECIPE = {
    "condensa": 1,
    "name": "words",
    "task": "language-model",
    "model": {"builtin": "lstm-lm", "args": {"embedding": 8, "hidden": 16}},
    "data": {"builtin": "text", "path": "corpus.txt", "level": "char", "length": 24, "batch": 16},
    "reference": {"train": {"epochs": 2}},
    "layers": [{"match": "lstm", "params": ["weight_*"], "scheme": {"prune": {"sparsity": 0.2}}}],
    "compress": {"method": "direct"},
    "constraint": {"metric": "perplexity", "max_rise": "100%"},
    "objective": {"minimize": "params"},
}


def test_the_figures_of_a_language_model_count_tokens(tmp_path):
    words = ["the cat ", "a dog ", "sat on ", "ran to ", "the mat.\n", "a tree.\n"]
    picks = np.random.default_rng(0).integers(2, size=3000)
    (tmp_path / "corpus.txt").write_text("".join(words[2 * (i % 3) + pick] for i, pick in enumerate(picks)))
    recipe = read_recipe_text(resolved_yaml(recipe_from(RECIPE)), str(tmp_path / "words.yaml"))

    outcome = flow.run(recipe, out=tmp_path / "runs", cache_dir=tmp_path / "cache")

    figure = outcome.best.metrics["val"]["perplexity"]
    assert figure.count % 24 == 0 and figure.count > 24  # windows of 24 tokens, one prediction each
    assert outcome.counted == "tokens"
    assert f"({figure.count:,} tokens)" in verdict(outcome)
