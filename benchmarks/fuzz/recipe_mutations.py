"""Recipes that nobody would write: the shipped ones and those in the documents, changed as trees, texts and bytes."""

from __future__ import annotations

import json
import random
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from byte_mutations import mutated_bytes
from tree_mutations import mutated_tree

ROOT: Final = Path(__file__).parents[2]
_FENCED: Final = re.compile(r"```ya?ml\n(.*?)```", re.DOTALL)
_SCALAR: Final = re.compile(r"(?<=[:\[,-] )[^\s,\]}{\[#][^,\]}\n#]*")
_TAGS: Final = (
    "!!python/object/apply:os.system ['true']", "!!python/name:os.system", "!!binary aGk=", "!!set {a, b}", "!x",
    "!<tag:x> y",
    "!!int '3'", "!!float .nan", "!!timestamp 2001-01-01", "!!merge <<", "!!null ''", "!!map {a: 1}", "! x",
)  # fmt: skip


@cache
def recipe_texts() -> tuple[str, ...]:
    """Every recipe of the repository: shipped, in the README and in docs/."""
    found = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "recipes").glob("*.yaml"))]
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        found += _FENCED.findall(page.read_text(encoding="utf-8"))
    return tuple(found)


@cache
def _trees() -> tuple[Any, ...]:
    trees = []
    for text in recipe_texts():
        try:
            tree = yaml.safe_load(text)
        except yaml.YAMLError:
            continue
        if isinstance(tree, dict):
            trees.append(json.loads(json.dumps(tree, default=str)))
    return tuple(trees)


def mutated_recipe(draw: random.Random) -> tuple[str, bytes]:
    """The name of what was done, and the file."""
    kind = draw.random()
    if kind < 0.5:
        name, tree = mutated_tree(_trees(), draw)
        return name, _written(tree, draw)
    if kind < 0.7:
        return _as_text(draw)
    return mutated_bytes([text.encode() for text in recipe_texts()], draw)


def _written(tree: Any, draw: random.Random) -> bytes:
    """A tree as YAML of any style, or as JSON, which is YAML too."""
    if draw.random() < 0.2:
        return json.dumps(tree, ensure_ascii=draw.random() < 0.5).encode("utf-8", errors="surrogatepass")
    style = draw.choice((None, None, True, False))
    text = yaml.dump(
        tree, Dumper=_Plain, default_flow_style=style, allow_unicode=draw.random() < 0.5, sort_keys=False, width=10**9
    )
    return str(text).encode("utf-8", errors="surrogatepass")


class _Plain(yaml.CSafeDumper):
    """Writes what is given twice two times: aliases are a mutation of their own."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _as_text(draw: random.Random) -> tuple[str, bytes]:
    """One scalar, or a section, in a form that only YAML has."""
    text = draw.choice(recipe_texts())
    spans = [found.span() for found in _SCALAR.finditer(text)] or [(0, len(text))]
    first, last = draw.choice(spans)
    scalar = text[first:last]
    forms = {
        "anchor": lambda: f"&a {scalar}",
        "alias": lambda: "*a",
        "anchored bomb": lambda: _bomb(draw),
        "tag": lambda: draw.choice(_TAGS),
        "merge": lambda: "{<<: *a}",
        "huge scalar": lambda: draw.choice("a0é") * draw.choice((10_000, 200_000, 600_000)),
        "huge number": lambda: draw.choice("19") * draw.choice((19, 20, 21, 400, 5000)) + draw.choice(("", ".5", "e9")),
        "deep flow": lambda: draw.choice("[{") * draw.choice((40, 49, 51, 1000, 20_000)),
        "deep pairs": lambda: "[" * 45 + "]" * 45,
        "long list": lambda: "[" + "a, " * draw.choice((1000, 20_000)) + "a]",
        "long mapping": lambda: "{" + ", ".join(f"k{i}: {i}" for i in range(draw.choice((500, 5000)))) + "}",
        "block scalar": lambda: "|\n" + "        x\n" * draw.choice((3, 3000)),
        "complex key": lambda: "{? [a, b] : c}",
        "directive": lambda: "\n%YAML 1.2\n---\n",
        "document end": lambda: f"{scalar}\n---\n{scalar}",
        "quotes": lambda: draw.choice(("'", '"')) + scalar,
        "escapes": lambda: '"\\x1b[2J\\u202e\\0\\ud800\\U0010FFFF"',
        "comment": lambda: "#" * draw.choice((1, 100_000)),
        "many lines": lambda: scalar + "\n" * draw.choice((10, 50_000)),
    }
    name = draw.choice(list(forms))
    return f"text {name}", (text[:first] + forms[name]() + text[last:]).encode("utf-8", errors="surrogatepass")


def _bomb(draw: random.Random) -> str:
    """Lists of lists by reference: 10 to the power of the depth when expanded."""
    depth = draw.choice((3, 9, 40))
    lines = ["&a0 [x]", *(f"&a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, depth))]
    return "[" + ", ".join(lines) + "]"
