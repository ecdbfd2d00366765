"""Checks of how knobs are used: values that a setting cannot take, and searches that do not fit their number."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from condensa_core.errors import Place, Problem
from condensa_core.recipe.document import Document, KeyPath
from condensa_core.recipe.expressions import Expression, Ref, references_in
from condensa_core.recipe.records import KnobSpec, RuleSpec
from condensa_core.recipe.references import References
from condensa_core.recipe.schemes import LEFT_ALONE, check_setting
from condensa_core.recipe.search import SearchSpec
from condensa_core.recipe.vocabulary import IMPLIED_KNOB, MANY_KNOB_METHODS, ONE_KNOB_METHODS, SEARCH_METHODS

# Points of a knob's range at which an expression is tried: dense enough to meet a pole or a bound that lies inside.
_SAMPLES = 65
_COMBINATIONS = 4096  # of values of several knobs in one expression


@dataclass(frozen=True)
class _Use:
    """A reference that stands for a setting of one scheme; None for a sparsity that is left out."""

    path: KeyPath
    setting: str
    reference: Ref | Expression | None
    in_sum: bool


@dataclass(frozen=True)
class KnobChecks:
    """The checks of knobs over the rules of one recipe, all of which are sound by themselves."""

    document: Document
    references: References

    def problems(
        self, rules: tuple[RuleSpec, ...], knobs: Mapping[str, KnobSpec], search: SearchSpec | None
    ) -> Iterator[Problem]:
        """Every problem, in no particular order; `search` is None where it is in question, or not written."""
        met: dict[str, KeyPath] = {}
        for use in _uses(dict(enumerate(rules))):
            if use.reference is None and IMPLIED_KNOB in self.references.vars:
                message = f"a sparsity left out is the knob '{IMPLIED_KNOB}', but '{IMPLIED_KNOB}' is a var here"
                yield self._problem("E304", use.path, message, f"write sparsity: ${IMPLIED_KNOB}, or rename the var")
                continue
            reference = use.reference or Ref(IMPLIED_KNOB)
            for name in sorted(reference.names):
                met.setdefault(name, use.path)
            if all(name in knobs for name in reference.names):
                yield from self._values(use, reference, knobs)
        yield from self._integers(rules, knobs)
        if search is not None and search.parallel > (trials := search.trials if met else 1):
            message = f"{search.parallel} trials at once, but there {'is' if trials == 1 else 'are'} at most {trials}"
            yield self._problem("W306", ("search", "parallel"), message)
        if search is not None and all(rule.when is None for rule in rules):  # else the platform decides how many apply
            yield from search_problems(dict(enumerate(rules)), search, self.document.place)
        if not met and (search is None or search.method != "none"):
            message = "no knob is used: one run, no search"
            yield self._problem("W302", ("search",), message, "write search: {method: none}", on_key=True)

    def _values(self, use: _Use, reference: Ref | Expression, knobs: Mapping[str, KnobSpec]) -> Iterator[Problem]:
        """E312 where the knobs of a reference can take values, alone or together, that the setting cannot."""
        check = check_setting(use.setting)
        for values in combinations({name: knobs[name] for name in sorted(reference.names)}):
            try:
                result = reference.evaluate(values)
            except (ZeroDivisionError, OverflowError, TypeError):
                result = None
            try:
                check(result)
            except Exception as error:
                context = getattr(error, "context", None) or {}
                reason = context.get("message", str(error))
                advice = context.get("advice", ()) if isinstance(reference, Ref) else ()  # it is about a written value
            else:
                if not (use.in_sum and result == LEFT_ALONE):
                    continue
                reason, advice = "a summand cannot be left alone", ()
            shown = " and ".join(f"knob '{name}' can be {_text(value)}" for name, value in values.items())
            yield self._problem("E312", use.path, f"{shown}, but here {reason}", *advice)
            return

    def _integers(self, rules: tuple[RuleSpec, ...], knobs: Mapping[str, KnobSpec]) -> Iterator[Problem]:
        """E312 where a knob chooses the dtype of weights that shall be computed with, and integers are no choice."""
        for number, rule in enumerate(rules):
            for position, scheme in enumerate(rule.scheme):
                quantize = scheme.quantize
                if quantize is None or scheme.observer is None or not isinstance(quantize.dtype, Ref):
                    continue
                spec = knobs.get(quantize.dtype.name)
                choices = [choice for choice in (spec.choices if spec else None) or () if isinstance(choice, str)]
                path: KeyPath = ("layers", number, "scheme", position, "quantize", "dtype")
                name = quantize.dtype.name
                if unsigned := [choice for choice in choices if choice.startswith("uint")]:
                    message = f"knob '{name}' can be {unsigned[0]}, and integer kernels take weights of intN"
                    yield self._problem("E312", path, message, f"write {unsigned[0][1:]}")
                elif choices and not any(choice.startswith("int") for choice in choices):
                    message = f"no choice of knob '{name}' is an integer, so 'activations' would round nothing"
                    yield self._problem("E312", path, message, "add int8 to its choices, or leave 'activations' out")

    def _problem(self, code: str, path: KeyPath, message: str, *advice: str, on_key: bool = False) -> Problem:
        return Problem(code, message, self.document.place(path, on_key=on_key), advice, path)


def search_problems(
    rules: Mapping[int, RuleSpec], search: SearchSpec, place_of: Callable[..., Place]
) -> Iterator[Problem]:
    """What does not fit the number of knobs that these rules, by their positions in the recipe, use.

    `place_of` is as `Document.place`.

    E306 where nothing chooses a knob, E307 where the method, a warm start or short runs need another number of them.
    """
    met: dict[str, KeyPath] = {}
    for use in _uses(rules):
        for name in sorted((use.reference or Ref(IMPLIED_KNOB)).names):
            met.setdefault(name, use.path)
    if met:
        yield from _method_problems(search.method, met, place_of)
    if len(met) == 1:
        return
    for key, need in (("warm_start", "a warm start needs"), ("short", "short runs need")):
        if getattr(search, key) is not None:
            has = f"{len(met)}: {', '.join(met)}" if met else "none"
            message = f"{need} a recipe with one knob, and this one has {has}"
            yield Problem("E307", message, place_of(("search", key), on_key=True), ("leave it out",), ("search", key))


def _method_problems(method: str, met: Mapping[str, KeyPath], place_of: Callable[..., Place]) -> Iterator[Problem]:
    first, *others = met
    path: KeyPath = ("search", "method")
    if method == "none":
        message = f"nothing chooses knob '{first}': the search method is none"
        advice = "write a number, or choose a search method"
        yield Problem("E306", message, place_of(met[first]), (advice,), met[first])
    elif method in ONE_KNOB_METHODS and others:
        message = f"search method '{method}' walks one knob, and this recipe has {len(met)}: {', '.join(met)}"
        able = [name for name in SEARCH_METHODS if name not in (*ONE_KNOB_METHODS, "none")]
        yield Problem("E307", message, place_of(path), (f"methods for several: {', '.join(able)}",), path)
    elif method in MANY_KNOB_METHODS and not others:
        what = "the front of one knob is its whole curve" if method == "pareto" else "it is about several knobs"
        message = f"search method '{method}' needs two knobs or more, and this recipe has '{first}' alone"
        yield Problem("E307", message, place_of(path), (f"{what}; write method: level-set",), path)


def knobs_in_use(rules: tuple[RuleSpec, ...]) -> tuple[str, ...]:
    """The knobs that these rules refer to, in the order of the recipe; of a recipe that was read, none are implied."""
    return tuple(
        dict.fromkeys(
            name for use in _uses(dict(enumerate(rules))) if use.reference for name in sorted(use.reference.names)
        )
    )


def combinations(knobs: Mapping[str, KnobSpec]) -> Iterator[dict[str, Any]]:
    """Values of these knobs together: all choices and steps, or as many as keep the combinations to some thousand.

    The ends of every knob are among them, and come first.
    """
    each = _SAMPLES
    while each > 2 and each ** len(knobs) > _COMBINATIONS:
        each -= 1
    grids = [sampled(knob, each) for knob in knobs.values()]
    for values in itertools.product(*grids):
        yield dict(zip(knobs, values, strict=True))


def sampled(knob: KnobSpec, count: int) -> Sequence[Any]:
    """All choices of a knob; else up to `count` (at least 2) evenly spread values of it, the two ends first."""
    if knob.choices is not None:
        return knob.choices
    assert knob.range is not None
    low, high = knob.range
    if knob.step is None:
        spread = [low + (high - low) * part / (count - 1) for part in range(count - 1)] + [high]
    else:
        last = int((high - low) / knob.step + 1e-9)
        places = sorted({round(last * part / (count - 1)) for part in range(count)})
        spread = [low + place * knob.step for place in places]
        if all(float(number).is_integer() for number in (low, high, knob.step)):
            spread = [int(value) for value in spread]
    return list(dict.fromkeys([spread[0], spread[-1], *spread]))


def _uses(rules: Mapping[int, RuleSpec]) -> Iterator[_Use]:
    """Where knobs are used, in the order of the recipe."""
    for number, rule in rules.items():
        for position, scheme in enumerate(rule.scheme):
            for below, leaf in scheme.leaves():
                path: KeyPath = ("layers", number, "scheme", position, *below)
                for setting, value in leaf.settings.items():
                    for place, reference in references_in(value):
                        yield _Use((*path, setting, *place), setting, reference, scheme.sum is not None)
                if getattr(leaf, leaf.kind).implies_knob:
                    yield _Use(path, "sparsity", None, scheme.sum is not None)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)
