"""Plain data (mappings, lists, scalars) changed where a reader may trust it: other types, extremes, look-alikes."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

Path = tuple[Any, ...]

_TEXTS: Final = (
    "", " ", "null", "~", "-", "*", "**", ".", "..", "../../etc/passwd", "/etc/passwd", "~/x", "C:\\x", "x\x00y",
    "x\x1b[2Jy", "x\x07", "\u202egpj.exe", "a\u200bb", "\ufeffname", "ｃonv1", "tор1", "ﬁlter", "x\u0301" * 50, "𝕏",
    "\U0010ffff",
    "2%", "200%", "-1pp", "0pp", "1e9999pp", "nanpp", "1.5x", "-1x", "infx", "6MiB", "1e400MiB", "5min", "-5s",
    "99999999999999d",
    "0.5", "1e5", "0x10", "0o17", "1_000", "2:4", "4:2", "0:0", "9" * 25 + ":" + "9" * 26, "1:99999999999999999999",
    "$", "$$", "$s", "$nowhere", "$(1 - s)", "$(1/0)", "$(9**9**9)", "$((((((((((1))))))))))", "$(" + "(" * 500 + "1",
    "$(1" + "+1" * 2000 + ")", "$(s.__class__)", "$(__import__('os').system('true'))", "${HOME}", "$(s if s else s)",
    "re:", "re:(a+)+$", "re:[", "re:(?P<", "re:" + "(" * 300, "re:a{99999999999}", "re:(?i)x", "re:\\1", "**.**",
    "*" * 60 + "x",
    "file.py:object", "file.py:", ":x", "os:system", "../up.py:f", "/etc/passwd:f", "a b:c", "é.py:f",
    "x.py:f.__class__",
    "all", "top1", "throughput", "filter", "cpu", "cuda", "float16", "int8", "lc", "pareto", "true", "yes", "on", "NaN",
    "<script>alert(1)</script>", "[bold red]x[/]", "::error::x", "%0A", "| a | b |", "`x`", "]]>", "&amp;", "${{ x }}",
    "w" * 5000, "é" * 3000, "a.b." * 800, "\n\n\n", "a\rb", "\x85", "\u2028",
)  # fmt: skip
_NUMBERS: Final = (
    0, 1, -1, 2, 3, 7, 8, 16, 100, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63,
    2**64, -(2**63),
    10**18, 10**19, 10**25, 10**400, -(10**400), 0.0, -0.0, 0.5, 0.999999999999, 1.0, 1.0000001, 2.5, 1e-9, 5e-324,
    1e-300,
    1e18, 1e308, 1.7976931348623157e308, float("inf"), float("-inf"), float("nan"), 1e400, -0.1, -1e300,
)  # fmt: skip

_MOST_ADDED: Final = 6000  # places


def paths(tree: Any, at: Path = ()) -> Iterator[Path]:
    """Every place in a tree, the root too."""
    yield at
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from paths(value, (*at, key))
    elif isinstance(tree, list):
        for position, value in enumerate(tree):
            yield from paths(value, (*at, position))


def value_at(tree: Any, path: Path) -> Any:
    for step in path:
        tree = tree[step]
    return tree


def with_value(tree: Any, path: Path, value: Any) -> Any:
    """The tree with another value there; changed in place below the root."""
    if not path:
        return value
    value_at(tree, path[:-1])[path[-1]] = value
    return tree


def any_value(draw: random.Random, depth: int = 2) -> Any:
    """A scalar of any type, or a small collection of them."""
    kind = draw.random()
    if kind < 0.4:
        return draw.choice(_TEXTS)
    if kind < 0.7:
        return draw.choice(_NUMBERS)
    if kind < 0.8:
        return draw.choice((None, True, False))
    if depth == 0:
        return draw.choice(([], {}))
    if kind < 0.9:
        return [any_value(draw, depth - 1) for _ in range(draw.choice((0, 1, 2, 3, 40)))]
    return {draw.choice(_TEXTS): any_value(draw, depth - 1) for _ in range(draw.choice((0, 1, 2, 3)))}


def nested(draw: random.Random) -> Any:
    """A value below 2 to 120 lists or mappings."""
    value: Any = draw.choice((0, "x", []))
    for _ in range(draw.choice((2, 10, 48, 49, 50, 51, 52, 120))):
        value = [value] if draw.random() < 0.5 else {draw.choice(("a", "match", "scheme", "python")): value}
    return value


def _replace(tree: Any, others: Sequence[Any], draw: random.Random) -> Any:
    return with_value(tree, draw.choice(list(paths(tree))), any_value(draw))


def _deepen(tree: Any, others: Sequence[Any], draw: random.Random) -> Any:
    return with_value(tree, draw.choice(list(paths(tree))), nested(draw))


def _graft(tree: Any, others: Sequence[Any], draw: random.Random) -> Any:
    """A part of another tree, or of this one, in a place where it may not belong."""
    giver = draw.choice(others)
    part = copy.deepcopy(value_at(giver, draw.choice(list(paths(giver)))))
    return with_value(tree, draw.choice(list(paths(tree))), part)


def _exchange_section(tree: Any, others: Sequence[Any], draw: random.Random) -> Any:
    """A whole section of another, under its own name."""
    giver = draw.choice(others)
    if isinstance(tree, dict) and isinstance(giver, dict) and giver:
        key = draw.choice(list(giver))
        tree[key] = copy.deepcopy(giver[key])
    return tree


def _remove(tree: Any, others: Sequence[Any], draw: random.Random) -> Any:
    path = draw.choice(list(paths(tree)))
    if path:
        del value_at(tree, path[:-1])[path[-1]]
    return tree


def _rename(tree: Any, others: Sequence[Any], draw: random.Random) -> Any:
    """A key with a letter doubled, exchanged by a look-alike, or another name altogether."""
    keyed = [path for path in paths(tree) if path and isinstance(path[-1], str)]
    if not keyed:
        return tree
    path = draw.choice(keyed)
    parent, key = value_at(tree, path[:-1]), path[-1]
    at = draw.randrange(len(key) + 1)
    names = (
        key[:at] + key[at : at + 1] * 2 + key[at + 1 :],
        key.replace("a", "\u0430").replace("e", "\u0435"),
        key.upper(),
        key + "\u200b",
        draw.choice(_TEXTS),
    )
    parent[draw.choice(names)] = parent.pop(key)
    return tree


def _add(tree: Any, others: Sequence[Any], draw: random.Random) -> Any:
    inner = [value for path in paths(tree) if isinstance(value := value_at(tree, path), (dict, list))]
    if inner:
        place = draw.choice(inner)
        if isinstance(place, dict):
            giver = draw.choice(others)
            keys = [path[-1] for path in paths(giver) if path and isinstance(path[-1], str)]
            place[draw.choice(keys or ["x"])] = any_value(draw)
        else:
            place.insert(draw.randrange(len(place) + 1), any_value(draw))
    return tree


def _multiply(tree: Any, others: Sequence[Any], draw: random.Random) -> Any:
    """A list of up to 300 items more, as long as the tree stays of a size that a file may have."""
    lists = [value for path in paths(tree) if isinstance(value := value_at(tree, path), list) and value]
    if lists:
        place = draw.choice(lists)
        item = draw.choice(place)
        most = _MOST_ADDED // sum(1 for _ in paths(item))
        place.extend(copy.deepcopy(item) for _ in range(min(most, draw.choice((1, 2, 30, 300)))))
    return tree


_CHANGES: Final[tuple[Callable[[Any, Sequence[Any], random.Random], Any], ...]] = (
    _replace, _replace, _replace, _deepen, _graft, _graft, _exchange_section, _exchange_section, _remove, _rename, _add,
    _multiply,
)  # fmt: skip


def mutated_tree(trees: Sequence[Any], draw: random.Random) -> tuple[str, Any]:
    """The name of the last thing done to a copy of one of `trees`, and the result: one to three changes."""
    tree = copy.deepcopy(draw.choice(trees))
    name = ""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        change = draw.choice(_CHANGES)
        name = change.__name__.strip("_")
        tree = change(tree, trees, draw)
    return f"tree {name}", tree
