"""Regular expressions of a recipe against names, for as long as that takes little: some take longer than anybody lives.

`re:(a+)+$` tries every way to part a name. Python's `re` cannot be stopped, so what may backtrack runs in a child.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

TIMEOUT_S: Final = 5.0
_REPEATS: Final = frozenset("*+?{")
_LONGEST: Final = 200  # characters of a name: with two repeats, a search takes their cube of steps
_CHILD: Final = """
import json, re, sys, warnings
warnings.simplefilter("ignore")
print("ready", flush=True)
asked = json.load(sys.stdin)
fits = getattr(re.compile(asked["pattern"]), asked["how"])
json.dump([fits(name) is not None for name in asked["names"]], sys.stdout)
"""


class TooLong(Exception):
    """The expression tries too many ways to fit a name."""


def fitting(pattern: str, names: Sequence[str]) -> tuple[str, ...]:
    """Those of `names` that the expression fits as a whole, in order; TooLong after TIMEOUT_S of trying.

    `pattern` must compile.
    """
    return _found(pattern, tuple(names), "fullmatch")


def holding(pattern: str, names: Sequence[str]) -> tuple[str, ...]:
    """Those of `names` that the expression fits a part of, in order; TooLong after TIMEOUT_S."""
    return _found(pattern, tuple(names), "search")


@lru_cache(maxsize=256)
def _found(pattern: str, names: tuple[str, ...], how: str) -> tuple[str, ...]:
    if _is_quick(pattern, names):
        compiled = re.compile(pattern)
        fits = [getattr(compiled, how)(name) is not None for name in names]
    else:
        fits = _in_a_child(pattern, names, how)
    return tuple(name for name, fit in zip(names, fits, strict=True) if fit)


def _is_quick(pattern: str, names: tuple[str, ...]) -> bool:
    """Whether little can be tried: no groups, no choices, two repeats."""
    repeats = sum(char in _REPEATS for char in pattern)
    return repeats <= 2 and not set("(|") & set(pattern) and all(len(name) <= _LONGEST for name in names)


def _in_a_child(pattern: str, names: tuple[str, ...], how: str) -> list[bool]:
    asked = json.dumps({"pattern": pattern, "names": names, "how": how})
    command = [sys.executable, "-I", "-S", "-c", _CHILD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        child.stdout.readline()  # its start is not the expression's time, however busy the machine is
        try:
            answer, _ = child.communicate(asked, timeout=TIMEOUT_S)
            fits: list[bool] = json.loads(answer)
        except (subprocess.TimeoutExpired, ValueError, BrokenPipeError) as err:  # the others: it ran out of memory
            child.kill()
            raise TooLong(pattern) from err
    return fits
