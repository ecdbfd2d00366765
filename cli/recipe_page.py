"""The page docs/recipe.md: every key of a recipe, from the JSON Schema, with an example of each section."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

_OPENING: Final = """# Recipes

Written by `condensa schema --markdown` from the JSON Schema that `condensa schema` prints. A recipe is one YAML
document of these sections. Every number, word and switch may also be a reference to a name under `vars`, `$NAME` or
`$(1 - NAME)`; settings of schemes may refer to `knobs`. An *amount* is a number with its unit: `2%` (relative to the
reference), `2pp` (percentage points), `1.5x`, `6MiB`, `5ms`, `1000/s`. `condensa check` finds mistakes, with their
place.
An example is one section of a recipe; [the README](../README.md) has a whole one.
"""
# A section each, which `condensa check` accepts in a recipe of builtin model and data.
_EXAMPLES: Final[Mapping[str, str]] = {
    "vars": "vars: {epochs: 5}",
    "knobs": "knobs:\n  sparsity: {range: [0.0, 0.9]}",
    "patterns": 'patterns:\n  cross: {python: "patterns.py:cross"}',
    "model": "model: {builtin: small-cnn}",
    "data": "data: {builtin: digits, val_fraction: 0.2}",
    "reference": "reference:\n  train: {epochs: 5, lr: 0.05}",
    "metrics": "metrics:\n  accuracy_of_five: {kind: top5}",
    "targets": "targets:\n  cpu: {backend: onnxruntime, batch: 32, threads: 1}",
    "keep": 'keep:\n  - {match: "head.*", why: few weights}',
    "layers": "layers:\n  - match: all\n    except: {role: last}\n    scheme: {filter: {align: 8}}",
    "compress": "compress:\n  steps: 10\n  mu: {start: 0.001, growth: 1.5}\n  finetune: {epochs: 2}",
    "constraint": "constraint: {metric: top1, max_drop: 2pp}",
    "objective": "objective: {maximize: throughput}",
    "search": "search: {trials: 8, timeout: 12h, noise: 0.2pp}",
    "gates": "gates:\n  - {metric: size.onnx, at_most: 6MiB}",
    "output": "output: {dir: runs, export: [onnx, packed]}",
}
_BOUNDS: Final = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}


def recipe_page(schema: Mapping[str, Any]) -> str:
    """Markdown: a table of the sections, then one of each record's keys, where the schema first leads to it."""
    sections = schema["properties"]
    lines = [_OPENING, *_table(schema, schema["$defs"], {})]
    told: dict[str, str] = {}
    for name, part in sections.items():
        if name in _EXAMPLES:
            lines += ["", f"## {name}", "", f"{part['description']}"]
            lines += ["", "```yaml", _EXAMPLES[name], "```"]
            for definition in _definitions(part):
                lines += _record(definition, name, schema["$defs"], told)
    return "\n".join(lines) + "\n"


def _record(definition: str, path: str, definitions: Mapping[str, Any], told: dict[str, str]) -> list[str]:
    """A record's table and, below it, those of the records it leads to; nothing for one that was told before."""
    if definition in told:
        return []
    told[definition] = path
    record = _written_out(definitions[definition])
    lines = [""] if "." not in path else ["", f"### {path}", ""]
    lines.append(str(record["description"]))
    if record.get("properties"):
        lines += ["", *_table(record, definitions, told)]
    for key, part in record.get("properties", {}).items():
        for inner in _definitions(part):
            lines += _record(inner, f"{path}.{key}", definitions, told)
    return lines


def _written_out(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """The mapping itself, where the definition has a short form besides."""
    return next((part for part in definition.get("anyOf", ()) if "properties" in part), definition)


def _table(record: Mapping[str, Any], definitions: Mapping[str, Any], told: Mapping[str, str]) -> Iterator[str]:
    yield "| key | what it is | values | default |"
    yield "|---|---|---|---|"
    for key, part in record["properties"].items():
        values = list(dict.fromkeys(_values(part, definitions, told)))
        if f"list of {values[0]}" in values[1:]:
            values.remove(f"list of {values[0]}")
            values.append("or a list of such")
        default = "required" if key in record.get("required", ()) else _default(part)
        yield f"| `{key}` | {part['description']} | {'; '.join(values)} | {default} |"


def _default(part: Mapping[str, Any]) -> str:
    value = part.get("default")
    if value is None or value == [] or isinstance(value, dict):
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _values(part: Mapping[str, Any], definitions: Mapping[str, Any], told: Mapping[str, str]) -> Iterator[str]:
    """What a key may hold, a text for each form; references to vars and knobs, which all take, are left out."""
    for inner in (*part.get("anyOf", ()), *part.get("oneOf", ())):
        yield from _values(inner, definitions, told)
    if "enum" in part:
        yield ", ".join(f"`{word}`" for word in part["enum"])
    elif "const" in part:
        yield f"`{part['const']}`"
    elif "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        if name != "Reference":
            for short in definitions[name].get("anyOf", ()):
                if "properties" not in short:
                    yield from _values(short, definitions, told)
            yield f"keys as in {told[name]}" if name in told else "keys, see below"
    elif part.get("type") in ("integer", "number"):
        what = "whole number" if part["type"] == "integer" else "number"
        yield " ".join(
            [what, " and ".join(f"{word} {part[key]}" for key, word in _BOUNDS.items() if key in part)]
        ).strip()
    elif part.get("type") == "boolean":
        yield "`true`, `false`"
    elif part.get("type") == "string":
        pattern = part.get("pattern", "")
        if pattern != r"^\$":
            yield "amount" if "/s" in pattern else "length of time" if "min" in pattern else "text"
    elif part.get("type") == "array":
        parts = part.get("prefixItems") or [part["items"]]
        texts = [" or ".join(dict.fromkeys(_values(inner, definitions, told))) for inner in parts]
        yield f"list of {texts[0]}" if len(texts) == 1 else f"list of two: {', '.join(texts)}"
    elif part.get("type") == "object":
        inner = part.get("additionalProperties")
        of = " or ".join(dict.fromkeys(_values(inner, definitions, told))) if isinstance(inner, dict) else ""
        yield f"names, each with {of}" if of else "names with values"


def _definitions(part: Any) -> Iterator[str]:
    """The names of the definitions that a part of the schema leads to directly."""
    if isinstance(part, dict):
        if "$ref" in part and not part["$ref"].endswith("/Reference"):
            yield part["$ref"].rpartition("/")[2]
        for inner in part.values():
            yield from _definitions(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _definitions(inner)
