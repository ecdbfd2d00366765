"""Coupled channels against rules: a family belongs to one rule with all its layers, or its channels stay."""

from __future__ import annotations

from condensa_core.graph.channels import Family, ModelGraph
from condensa_core.plan.matching import without_wrappers
from condensa_core.plan.rules import Match, Rules, counted


def claimed_families(rules: Rules, graph: ModelGraph) -> dict[int, list[Family]]:
    """The families of each rule that removes channels, by rule number; problems go to `rules`."""
    owner = {name: match for match in rules.matches if match.kind is not None for name in match.layers}
    claimed: dict[int, list[Family]] = {match.number: [] for match in rules.matches if match.kind is not None}
    split: set[tuple[int, int]] = set()
    for family in graph.families:
        producers = [without_wrappers(name) for name in family.layers]
        owners = {owner[name].number: owner[name] for name in producers if name in owner}
        if not owners:
            continue
        first = min(owners)
        match = owners[first]
        if len(owners) > 1 and not _are_one(list(owners.values())):
            pair = first, sorted(owners)[1]
            if pair not in split:  # once for two rules, however many families they tear
                split.add(pair)
                _report_split(rules, owners[pair[0]], owners[pair[1]], producers, owner)
            continue
        outside = [name for name in producers if name not in owner]
        if outside:
            _report_partial(rules, match, producers, outside, owner)
        else:
            claimed[first].append(family)
    torn = {number for pair in split for number in pair}
    for match in rules.matches:
        if match.kind is None or not match.layers:
            continue
        told = _report_frozen(rules, match, graph)
        if not (claimed[match.number] or told or match.number in torn or _merges(rules, match)):
            message = f"'{', '.join(match.rule.match)}' matches {counted(match.layers)}, but no channel can be removed"
            rules.report("E214", message, "layers", match.number, "match", advice=("see: condensa inspect",))
    return claimed


def _are_one(matches: list[Match]) -> bool:
    """Whether rules merge into one task: scope model and the same schemes."""
    return all(match.rule.scope == "model" and match.rule.scheme == matches[0].rule.scheme for match in matches)


def _report_split(rules: Rules, one: Match, other: Match, producers: list[str], owner: dict[str, Match]) -> None:
    a = next(name for name in producers if owner.get(name) is one)
    b = next(name for name in producers if owner.get(name) is other)
    lines = f"lines {one.place.line} and {other.place.line}" if one.place.line else f"{one.number} and {other.number}"
    message = f"{a} and {b} must lose the same channels, but rules on {lines} each claim one of them"
    rules.report("E211", message, "layers", other.number, "match", advice=("put both in one rule",))


def _report_partial(
    rules: Rules, match: Match, producers: list[str], outside: list[str], owner: dict[str, Match]
) -> None:
    """A family with layers that no rule removes from: an error when the rule names one of its own, else a warning."""
    inside = [name for name in producers if name in owner]
    kept = [name for name in outside if name in rules.kept]
    blocker = (kept or outside)[0]
    kind = match.kind or ""
    if kept:
        reason = f"'{blocker}' is in keep"
        advice = f"take '{blocker}' out of keep, or leave '{inside[0]}' to keep as well"
    elif not rules.produces(kind, blocker):
        reason = f"'{blocker}' is a {rules.names.layers[blocker].type}, which '{kind}' does not remove from"
        advice = "use 'structure' for layers of all types together"
    else:
        reason = f"no rule matches '{blocker}'"
        advice = f"match '{blocker}' in the same rule"
    message = f"channels of '{inside[0]}' stay: it must lose the same ones as '{blocker}', and {reason}"
    named = any(name in match.exact for name in inside)
    rules.report("E211" if named else "W211", message, "layers", match.number, "match", advice=(advice,))


def _report_frozen(rules: Rules, match: Match, graph: ModelGraph) -> bool:
    """E214 for a layer that the rule names and whose channels stay, W214 under a pattern; whether it is refused."""
    refused = any(p.severity == "error" and p.key_path[:2] == ("layers", match.number) for p in rules.problems)
    producing = {without_wrappers(name) for family in graph.families for name in family.layers}
    reasons = {without_wrappers(frozen.layer): frozen for frozen in graph.frozen}
    for name in match.layers:
        if name in producing:
            continue
        frozen = reasons.get(name)
        reason = f"their dimension {frozen.reason}" if frozen else "they follow those of another layer"
        met = f" (operator {frozen.operator})" if frozen and frozen.operator else ""
        message = f"channels of '{name}' cannot be removed: {reason}{met}"
        if name in match.exact:
            advice = ("take it out of this rule",)
            rules.report("E214", message, "layers", match.number, "match", advice=advice)
            refused = True
        elif frozen and frozen.operator:
            rules.report("W214", message, "layers", match.number, "match")
    return refused


def _merges(rules: Rules, match: Match) -> bool:
    return any(other is not match and _are_one([other, match]) for other in rules.matches)
