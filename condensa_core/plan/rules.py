"""Each rule of a recipe against the layers of a model: what it matches, and every reason why it may not."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from torch import nn

from condensa_core.errors import Place, Problem
from condensa_core.graph.channels import Layer, ModelGraph
from condensa_core.plan.matching import LayerNames, is_exact, without_wrappers
from condensa_core.plan.regular_expressions import TIMEOUT_S, TooLong
from condensa_core.recipe import ExceptSpec, Expectation, Recipe, RuleSpec

# The layers whose outputs each structured scheme removes; `structure` those of every other layer that has units too.
_CONVOLUTIONS: Final = ("Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")
PRODUCERS: Final[Mapping[str, tuple[str, ...]]] = {
    "filter": _CONVOLUTIONS,
    "neuron": ("Linear",),
    "structure": (*_CONVOLUTIONS, "Linear"),
}
# Names of weight matrices: of most layers, of recurrent ones (weight_ih_l0), of attention (in_proj_weight).
_WEIGHTS: Final = ("weight", "weight_*", "*_weight")
_WHAT: Final = {"filter": "a convolution", "neuron": "a Linear", "structure": "a layer with channels of its own"}


@dataclass
class Match:
    """The layers of one rule. `tensors` are the parameters it compresses one by one; empty for structured schemes."""

    number: int
    rule: RuleSpec
    place: Place
    layers: list[str]
    exact: frozenset[str]  # layers that a selector names, rather than a pattern
    total: int  # layers its selectors reach, before any filter
    tensors: dict[str, list[str]] = field(default_factory=dict)  # layer -> parameter names

    @property
    def kind(self) -> str | None:
        """filter, neuron or structure when the rule removes channels."""
        kinds = [scheme.kind for scheme in self.rule.scheme if scheme.kind in PRODUCERS]
        return kinds[0] if kinds else None


class Rules:
    """The rules of a recipe matched to a model; `problems` gathers what does not fit."""

    def __init__(self, recipe: Recipe, model: nn.Module, graph: ModelGraph) -> None:
        self.recipe = recipe
        self.names = LayerNames(graph)
        self.problems: list[Problem] = []
        # A tied tensor has several names; all stand for the first, which is the one `named_parameters` gives.
        first: dict[int, str] = {}
        self.tensor = {
            name: first.setdefault(id(parameter), name)
            for name, parameter in model.named_parameters(remove_duplicate=False)
        }
        self.kept = self._keep()
        self._with_units = {without_wrappers(layer) for family in graph.families for layer in family.layers}
        self.matches = [self._match(number, rule) for number, rule in recipe.rules.items()]
        self._overlaps()
        self._ties()

    def report(self, code: str, message: str, *path: str | int, advice: tuple[str, ...] = ()) -> None:
        """Note a problem at a key path of the recipe."""
        self.problems.append(Problem(code, message, self.place(*path), advice, path))

    def place(self, *path: str | int) -> Place:
        """Where a key path stands in the recipe."""
        return self.recipe.place(*path) or Place(self.recipe.name, 1, 1)

    def _keep(self) -> dict[str, tuple[int, str]]:
        """Kept layers, with the position of the entry that keeps them."""
        kept: dict[str, tuple[int, str]] = {}
        for position, spec in enumerate(self.recipe.keep):
            for name in self._reached(spec.match, "keep", position, "match"):
                kept.setdefault(name, (position, spec.match))
        return kept

    def _reached(self, selector: str, *path: str | int) -> tuple[str, ...]:
        try:
            found = self.names.matched(selector)
            advice = () if found else self.names.advice(selector)
        except TooLong:
            message = f"'{selector}' tries too many ways to fit the names of this model: stopped after {TIMEOUT_S:g} s"
            self.report("E217", message, *path, advice=("write it without a repeat inside a repeat, such as (a+)+",))
            return ()
        if not found:
            self.report("E203", f"no layer matches '{selector}'", *path, advice=advice)
        return found

    def _match(self, number: int, rule: RuleSpec) -> Match:
        path = ("layers", number)
        by_selector = {
            position: self._reached(selector, *path, "match", position) for position, selector in enumerate(rule.match)
        }
        exact = frozenset(
            name for position, names in by_selector.items() if is_exact(rule.match[position]) for name in names
        )
        reached = {name for names in by_selector.values() for name in names}
        layers = [name for name in self.names.layers if name in reached]
        match = Match(number, rule, self.place(*path, "match"), layers, exact, len(layers))
        if any(not names for names in by_selector.values()):
            match.layers = []  # reported: what else is empty follows from it
            return match
        told = len(self.problems)
        self._excluded(match)
        self._filtered(match)
        self._unkept(match)
        if match.kind is None:
            self._choose_tensors(match)
        if not match.layers and len(self.problems) == told:
            message = f"nothing is left of this rule: 'except' and 'keep' take all {len(layers)} layers it matches"
            self.report("E209", message, "layers", number, "match", advice=("narrow them, or drop the rule",))
        self._expected(match)
        return match

    def _excluded(self, match: Match) -> None:
        spec = match.rule.except_
        if spec is None:
            return
        named: set[str] = set()
        told = len(self.problems)
        for position, selector in enumerate(spec.match or ()):
            named.update(self._reached(selector, "layers", match.number, "except", "match", position))
        for key, wanted in (("type", spec.type), ("role", spec.role)):
            have = {n: _traits(self.names.layers[n], key) for n in match.layers}
            for word in wanted or ():
                if match.layers and not any(word in traits for traits in have.values()):
                    known = sorted(set().union(*have.values()))
                    near = difflib.get_close_matches(word.lower(), [k.lower() for k in known], n=1)
                    right = next((k for k in known if near and k.lower() == near[0]), None)
                    message = f"'except' names {key} '{word}', but no layer of this rule has it"
                    advice = (f"did you mean '{right}'?",) if right else (f"they have: {', '.join(known)}",)
                    self.report("E204", message, "layers", match.number, "except", key, advice=advice)
        left = [name for name in match.layers if not _fits(spec, name in named, self.names.layers[name])]
        if match.layers and len(left) == len(match.layers) and len(self.problems) == told:
            message = "no layer of this rule fits all that 'except' says, so 'except' changes nothing"
            self.report("W304", message, "layers", match.number, "except")
        match.layers = left

    def _filtered(self, match: Match) -> None:
        """Narrow to the rule's types and roles, and to the layers its scheme is for (E204 where nothing is left)."""
        rule, told = match.rule, " ".join(f"'{selector}'" for selector in match.rule.match)
        for key, wanted in (("type", rule.type), ("role", rule.role)):
            if wanted is None or not match.layers:
                continue
            have = {name: _traits(self.names.layers[name], key) for name in match.layers}
            left = [name for name in match.layers if have[name] & set(wanted)]
            if not left:
                known = sorted(set().union(*have.values()))
                near = difflib.get_close_matches(wanted[0].lower(), [word.lower() for word in known], n=1)
                close = next((word for word in known if near and word.lower() == near[0]), None)
                advice = f"did you mean '{close}'?" if close else f"{key}s there: {', '.join(known) or 'none'}"
                what = f"is a {' or '.join(wanted)}" if key == "type" else f"has the role {' or '.join(wanted)}"
                message = f"{told} matches {counted(match.layers)} but none {what}"
                self.report("E204", message, "layers", match.number, key, advice=(advice,))
            match.layers = left
        if match.kind is None or not match.layers:
            return
        left = [name for name in match.layers if self.produces(match.kind, name)]
        wrong = [name for name in match.layers if name in match.exact and name not in left]
        if wrong or not left:
            if wrong:
                message = (
                    f"'{wrong[0]}' is a {self.names.layers[wrong[0]].type}; '{match.kind}' needs {_WHAT[match.kind]}"
                )
            else:
                message = f"{told} matches {counted(match.layers)} but none is {_WHAT[match.kind]}"
            advice = self._other_kind(wrong or match.layers)
            self.report("E204", message, "layers", match.number, "match", advice=(advice,))
        match.layers = left

    def _other_kind(self, layers: list[str]) -> str:
        """Which structured scheme removes outputs of all those of these layers that have any."""
        fitting = [name for name in layers if self.produces("structure", name)]
        types = sorted({self.names.layers[name].type for name in fitting or layers})
        kind = next((kind for kind in PRODUCERS if all(self.produces(kind, name) for name in fitting)), "structure")
        return f"for {', '.join(types)} write '{kind}'" if fitting else f"types there: {', '.join(types)}"

    def produces(self, kind: str, layer: str) -> bool:
        """Whether a structured scheme removes outputs of this layer."""
        if self.names.layers[layer].type in PRODUCERS[kind]:
            return True
        return kind == "structure" and layer in self._with_units  # embeddings, recurrent layers, attention

    def _unkept(self, match: Match) -> None:
        """Drop kept layers: quietly under a pattern, E212 when a rule names one."""
        for position, selector in enumerate(match.rule.match):
            if is_exact(selector) and selector in self.kept and selector in match.layers:
                entry, _ = self.kept[selector]
                line = self.place("keep", entry).line
                where = f" (line {line})" if line else ""
                message = f"'{selector}' is in keep{where} and matched by name here"
                advice = ("take it out of 'keep', or out of this rule",)
                self.report("E212", message, "layers", match.number, "match", position, advice=advice)
        match.layers = [name for name in match.layers if name not in self.kept]

    def _choose_tensors(self, match: Match) -> None:
        """The tensors of a rule that compresses weights: `params`, or every weight of two or more dimensions."""
        patterns = match.rule.params or _WEIGHTS
        reached = match.layers
        for name in reached:
            layer = self.names.layers[name]
            chosen = [
                tensor
                for tensor, shape in layer.parameters.items()
                if any(fnmatchcase(tensor, pattern) for pattern in patterns)
                and (match.rule.params is not None or len(shape) > 1)
            ]
            if chosen:
                match.tensors[name] = [self.tensor[f"{layer.name}.{tensor}"] for tensor in chosen]
        unfit = [name for name in reached if name in match.exact and name not in match.tensors]
        if unfit or (reached and not match.tensors):
            layer = self.names.layers[(unfit or reached)[0]]
            have = ", ".join(layer.parameters)
            message = f"'{without_wrappers(layer.name)}' ({layer.type}) has no tensor '{patterns[0]}'; it has {have}"
            weights = any(fnmatchcase(tensor, pattern) for tensor in layer.parameters for pattern in patterns)
            if match.rule.params is None and weights:
                message = f"'{without_wrappers(layer.name)}' ({layer.type}) has no weight of two or more dimensions"
            advice = (f"choose with params: [{next(iter(layer.parameters))}]",)
            key = "params" if match.rule.params else "match"
            self.report("E208", message, "layers", match.number, key, advice=advice)
        match.layers = [name for name in reached if name in match.tensors]

    def _expected(self, match: Match) -> None:
        if match.rule.expect is None or not match.layers:
            return
        expectation = Expectation.read(match.rule.expect)
        tensors = [tensor for chosen in match.tensors.values() for tensor in chosen]
        found = tensors if expectation.of == "tensors" else match.layers
        if len(found) not in expectation:
            told = ", ".join(match.rule.match)
            message = f"'{told}' matched {len(found)} {expectation.of}, expected {match.rule.expect}"
            advice = (f"it matched {_listed(found)}",)
            self.report("E207", message, "layers", match.number, "expect", advice=advice)

    def _overlaps(self) -> None:
        """E210 once for each pair of rules; a rule with `override: true` takes its layers from earlier ones."""
        overriding: set[int] = set()
        for place, later in enumerate(self.matches):
            for earlier in self.matches[:place]:
                shared = _shared(earlier, later)
                if not shared:
                    continue
                if later.rule.override:
                    overriding.add(later.number)
                    earlier.layers = [name for name in earlier.layers if name not in set(shared)]
                    earlier.tensors = {name: t for name, t in earlier.tensors.items() if name not in set(shared)}
                    if not earlier.layers:
                        message = f"{_rule_text(later)} overrides every layer of this rule"
                        self.report("W210", message, "layers", earlier.number, "match")
                    continue
                message = f"{counted(shared)} of this rule {'is' if len(shared) == 1 else 'are'} already claimed by "
                message += f"{_rule_text(earlier)}: {_listed(shared)}"
                advice = (
                    "narrow one of the two rules, add 'except', or say 'override: true' here to replace the earlier one"
                )
                self.report("E210", message, "layers", later.number, "match", advice=(advice,))
        for match in self.matches if not self.recipe.left_out else ():  # elsewhere it may override one of those
            if match.rule.override and match.layers and match.number not in overriding:
                message = "no earlier rule has a layer of this one, so 'override' changes nothing"
                self.report("W304", message, "layers", match.number, "override")

    def _ties(self) -> None:
        """A tensor under two names is compressed once; E213 when two rules claim it."""
        owner: dict[str, tuple[Match, str]] = {}
        for match in self.matches:
            for name, tensors in match.tensors.items():
                once = []
                for tensor in tensors:
                    other, first = owner.setdefault(tensor, (match, name))
                    if (other, first) == (match, name):
                        once.append(tensor)
                    elif other is not match and first != name:
                        message = f"'{first}' and '{name}' share the tensor '{tensor}', and two rules claim it"
                        advice = (f"keep one rule; {_rule_text(other)} has it already",)
                        self.report("E213", message, "layers", match.number, "match", advice=advice)
                match.tensors[name] = once


def _traits(layer: Layer, key: str) -> set[str]:
    return {layer.type} if key == "type" else set(layer.roles)


def _fits(spec: ExceptSpec, named: bool, layer: Layer) -> bool:
    return (
        (spec.match is None or named)
        and (spec.type is None or layer.type in spec.type)
        and (spec.role is None or bool(layer.roles & set(spec.role)))
    )


def _shared(earlier: Match, later: Match) -> list[str]:
    """The layers that both rules claim. Two rules that compress weights one by one may share a layer, not a tensor."""
    shared = [name for name in later.layers if name in set(earlier.layers)]
    if earlier.kind is not None or later.kind is not None:
        return shared
    return [name for name in shared if set(earlier.tensors.get(name, ())) & set(later.tensors.get(name, ()))]


def _rule_text(match: Match) -> str:
    return f"layers[{match.number}]" + (f" on line {match.place.line}" if match.place.line else "")


def counted(names: list[str]) -> str:
    """`1 layer`, `2 layers`."""
    return f"{len(names)} layer{'' if len(names) == 1 else 's'}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")


def problems_in_order(problems: list[Problem]) -> Iterator[Problem]:
    """In file order, each once."""
    yield from dict.fromkeys(sorted(problems, key=lambda p: (p.place.line, p.place.column, p.severity, p.code)))
