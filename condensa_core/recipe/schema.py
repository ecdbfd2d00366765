"""The JSON Schema of recipe format 1, for editors."""

from __future__ import annotations

from typing import Any

from condensa_core.recipe.meanings import MEANINGS
from condensa_core.recipe.records import Recipe

_REFERENCE = {"type": "string", "pattern": r"^\$([A-Za-z_][A-Za-z0-9_]*|\(.+\))$"}
_PROSE = frozenset({"condensa", "name", "description", "vars", "why"})


def recipe_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of what this version accepts; any number, word or switch may be a `$var`."""
    generated = _with_closed_names(Recipe.model_json_schema(by_alias=True))
    for name, part in (("Recipe", generated), *generated["$defs"].items()):
        _explain(name, part)
    definitions = {name: _with_references(part) for name, part in generated.pop("$defs").items()}
    definitions["Reference"] = {"description": "A knob or var: $name or $(1 - name).", **_REFERENCE}
    body = _with_references(generated)
    body["required"] = [name for name in body["required"] if name != "name"]  # the file's stem by default
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **body,
        "title": "condensa recipe, format 1",
        "$defs": definitions,
    }


def keys_of(definition: dict[str, Any]) -> dict[str, Any]:
    """The keys of a definition of the schema with what each may hold, also where it has a short form besides."""
    written: dict[str, Any] = next((p for p in definition.get("anyOf", ()) if "properties" in p), definition)
    return dict(written.get("properties", {}))


def _explain(name: str, definition: dict[str, Any]) -> None:
    """Give the keys of a definition their meanings, in place."""
    for key, part in keys_of(definition).items():
        part["description"] = MEANINGS[name][key]


def _with_references(schema: Any) -> Any:
    """The schema with every number, boolean or word also writable as a reference."""
    if isinstance(schema, list):
        return [_with_references(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "enum" in schema or schema.get("type") in ("number", "integer", "boolean"):
        extra = {key: schema[key] for key in ("default", "title", "description") if key in schema}
        return {"anyOf": [{k: v for k, v in schema.items() if k not in extra}, {"$ref": "#/$defs/Reference"}], **extra}
    walked = {}
    for key, part in schema.items():
        if key == "properties":
            walked[key] = {n: p if n in _PROSE else _with_references(p) for n, p in part.items()}
        else:
            walked[key] = part if key == "default" else _with_references(part)
    return walked


def _with_closed_names(schema: Any) -> Any:
    """Mappings with free names say what a name looks like; as pydantic writes it, any other name would pass."""
    if isinstance(schema, list):
        return [_with_closed_names(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _with_closed_names(part) for key, part in schema.items() if key != "patternProperties"}
    for pattern, values in schema.get("patternProperties", {}).items():
        closed["propertyNames"] = {"type": "string", "pattern": pattern}
        closed["additionalProperties"] = _with_closed_names(values)
    return closed
