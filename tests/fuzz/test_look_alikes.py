"""Names in recipes that look like others: refused, and the help says which character it is."""

import pytest

from condensa_core.recipe import check_recipe

RECIPE = """\
condensa: 1
name: {name}
model: {{builtin: small-cnn}}
data: {{builtin: digits}}
layers: [{{match: all, scheme: {{{scheme}: {{{setting}: 0.5}}}}}}]
{knobs}: {{{knob}: {{range: [0.1, 0.9]}}}}
constraint: {{metric: top1, max_drop: 2pp}}
objective: {{minimize: macs}}
"""
PLAIN = {"name": "run", "scheme": "filter", "setting": "sparsity", "knobs": "knobs", "knob": "s"}
CHARACTERS = {
    "\u0430": "U+0430, CYRILLIC SMALL LETTER A",
    "\uff53": "U+FF53, FULLWIDTH LATIN SMALL LETTER S",
    "\u200b": "U+200B, ZERO WIDTH SPACE",
    "\u0301": "U+0301, COMBINING ACUTE ACCENT",
    "\u03bf": "U+03BF, GREEK SMALL LETTER OMICRON",
}


def problems_of(tmp_path, **changes):
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE.format(**(PLAIN | changes)), encoding="utf-8")
    return check_recipe(path)


@pytest.mark.parametrize("place", PLAIN)
@pytest.mark.parametrize("char", CHARACTERS, ids=lambda char: f"{ord(char):04X}")
def test_a_name_with_a_look_alike_is_refused_with_its_code_point(tmp_path, place, char):
    name = PLAIN[place] + char

    found = [problem for problem in problems_of(tmp_path, **{place: name}) if name in problem.message]

    assert "error" in {problem.severity for problem in found}
    assert any(f"character {len(name)} is {CHARACTERS[char]}" in problem.help for problem in found)


def test_plain_names_are_told_nothing_of_the_kind(tmp_path):
    assert not any("U+" in line for problem in problems_of(tmp_path, name="a b") for line in problem.help)
