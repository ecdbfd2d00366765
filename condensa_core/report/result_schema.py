"""The JSON Schema of what a run leaves behind and prints, made from the records that are written."""

from __future__ import annotations

from typing import Any, Final

from condensa_core.report.bench_schema import MACHINE, MEASUREMENT
from condensa_core.report.ending import CODES, Ending
from condensa_core.report.ending import SCHEMA as ENDING
from condensa_core.report.outcome import EXIT_CODES, Outcome
from condensa_core.report.outcome import SCHEMA as RESULT
from condensa_core.report.unfinished import SCHEMA as UNFINISHED
from condensa_core.report.unfinished import Unfinished

_KEYS: Final = {
    "schema": "which of the documents this is, and its version",
    "status": "how it ended, in a word",
    "exit_code": "that of the command",
    "reasons": "sentences that say why it ended so; none where all is well",
    "skipped": "what the recipe declares and nobody judged or built, with the reason",
    "name": "that of the recipe",
    "run_dir": "where everything lies; null where there is no run yet",
    "recipe_hash": "SHA-256 of the recipe with all defaults written out",
    "seed": "of the whole run",
    "counted": "what the count of every figure counts",
    "reference": "the model before compression",
    "best": "the candidate that ships; null where there is none",
    "direct": "direct compression at the same knobs; null where nothing ships",
    "constraint": "the bound on quality; null where nothing ships",
    "objective": "what was maximised or minimised",
    "gates": "further bounds, judged on what ships",
    "trials": "by number; of an unfinished run those that finished",
    "trainings_used": "trainings paid for, failed attempts included",
    "training_cost": "of all trials together",
    "search": "how the best was found",
    "sensitivity": "of several knobs, each moved alone before the search",
    "front": "of method pareto, from the best objective to the best metric",
    "artifacts": "the files under best/",
    "inputs": "what best/model.onnx wants to be fed",
    "sizes": "of what ships",
    "parity": "how far the file of the best trial is from its module; empty where nothing ships",
    "engine": "of best/model.onnx, where one was asked for",
    "integers": "how what ships computes in integers, where it does",
    "machine": "what it was made on",
    "versions": "of the packages, by name",
    "timings_s": "seconds on the wall clock, by what took them",
    "notes": "what a reader would want to be told unasked",
    "error": "the kind of refusal or failure",
    "place": "where in a file, as file:line:column",
    "hint": "what to do about it",
    "problems": "of a recipe, all at once",
    "continue_with": "the command that goes on with the run; null where there is nothing to go on with",
}
_NUMBER: Final = {"type": "number"}
_PARITY: Final = {
    "max_abs": _NUMBER,
    "max_rel": {"type": "number", "description": "relative to the largest output"},
    "cosine": _NUMBER,
    "top1_agreement": {"anyOf": [{"type": "number"}, {"type": "null"}]},
    "count": {"type": "integer", "description": "of samples"},
    "finite": {"type": "boolean"},
    "tolerance": {"type": "number", "description": "of max_rel"},
}
_TIMED: Final = {key: value for key, value in MEASUREMENT["properties"].items() if key != "round_s"}
# Records of the rooms that measure, which the outcome holds as they are; a part that was not measured is empty.
_MEASURED: Final = {"measurement": _TIMED, "parity": _PARITY, "machine": MACHINE["properties"]}
_CODES: Final = {  # which status goes with which code
    Outcome: tuple(EXIT_CODES.items()),
    Ending: CODES,
    Unfinished: (("unfinished", 4), *CODES),
}


def result_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of result.json and of what `run`, `resume` and `report` print of a run with --json.

    That is `condensa.result/1`, or `condensa.error/1` in its place; only `report` prints `condensa.unfinished/1`.
    """
    from pydantic import TypeAdapter

    definitions: dict[str, Any] = {}
    for record, schema in ((Outcome, RESULT), (Ending, ENDING), (Unfinished, UNFINISHED)):
        generated = TypeAdapter(record).json_schema(mode="serialization")
        definitions |= generated.pop("$defs", {})
        head: dict[str, Any] = {"schema": {"const": schema}}
        if record is Outcome:
            codes = {"type": "integer", "enum": sorted(set(EXIT_CODES.values()))}
            head |= {"exit_code": codes, "skipped": {"type": "array", "items": {"type": "string"}}}
        pairs = [{"properties": {"status": {"const": s}, "exit_code": {"const": c}}} for s, c in _CODES[record]]
        definitions[record.__name__] = generated | {"properties": head | generated["properties"], "anyOf": pairs}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "condensa result",
        "anyOf": [{"$ref": f"#/$defs/{record.__name__}"} for record in (Outcome, Ending, Unfinished)],
        "$defs": {name: _closed(definition) for name, definition in sorted(definitions.items())},
    }


def _closed(definition: dict[str, Any]) -> dict[str, Any]:
    """A record of exactly its keys: all of them are always written."""
    top = "schema" in definition["properties"]
    properties = {name: _told(name, part, top) for name, part in definition["properties"].items()}
    description = " ".join(definition["description"].split())
    together = {"anyOf": definition["anyOf"]} if "anyOf" in definition else {}
    return _exactly(properties) | together | {"description": description}


def _told(name: str, part: dict[str, Any], top: bool) -> dict[str, Any]:
    if name in _MEASURED:
        part = {"anyOf": [_exactly(_MEASURED[name]), {"type": "object", "maxProperties": 0}]}
    kept = {key: value for key, value in part.items() if key not in ("title", "default")}
    return kept | ({"description": _KEYS[name]} if top else {})


def _exactly(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
