"""What a run writes, held against the schema that condensa publishes of it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

from condensa_core.report.result_schema import result_schema


def published(result: Path) -> dict[str, Any]:
    """The document in a result.json, which is as `condensa schema result` says."""
    document: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    _validator().validate(document)
    return document


@cache
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(result_schema())
