"""A recipe written out in full: defaults filled, vars replaced; reading it gives an equal recipe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from condensa_core.recipe.expressions import Expression, Ref
from condensa_core.recipe.record import Record
from condensa_core.recipe.records import Recipe
from condensa_core.recipe.scalars import FLOAT, INTEGER
from condensa_core.recipe.units import Quantity


class _Writer(yaml.SafeDumper):
    """Quotes every text that YAML 1.1 or the core schema of YAML 1.2 would read as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _tag, _pattern in (("int", INTEGER), ("float", FLOAT)):
    _whole = re.compile(f"(?:{_pattern.pattern})$")
    _Writer.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _whole, list("-+.0123456789"))


def resolved_yaml(recipe: Recipe) -> str:
    """The recipe as YAML; knobs are the only `$` left."""
    data = plain(recipe)
    return yaml.dump(data, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=118, default_flow_style=None)


def plain(value: Any) -> Any:
    """A record or part of one as it is written in YAML: mappings, lists and scalars; what is left out is absent."""
    if isinstance(value, Record):
        fields = type(value).model_fields
        written = {info.alias or name: getattr(value, name) for name, info in fields.items()}
        if "timeout" in written and written["timeout"] is not None:
            written["timeout"] = Quantity(written["timeout"], "seconds")
        defaults = {info.alias or name: info.get_default(call_default_factory=True) for name, info in fields.items()}
        return {
            key: plain(part)
            for key, part in written.items()
            if part is not None and not (part == defaults[key] and plain(part) in ({}, []))
        }
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return str(value) if isinstance(value, (Quantity, Ref, Expression)) else value
