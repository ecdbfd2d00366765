"""The JSON Schema of what `condensa bench --json` prints, for whoever reads it in CI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_NUMBER: Final = {"type": "number"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_TEXT: Final = {"type": "string"}
_TRUTH: Final = {"type": "boolean"}


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Exactly these keys."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _by_name(values: Mapping[str, Any], description: str = "") -> dict[str, Any]:
    """Values by the name of the model they are of."""
    described = {"description": description} if description else {}
    return {"type": "object", "additionalProperties": dict(values), **described}


def _or_null(kind: Mapping[str, Any]) -> dict[str, Any]:
    return {"anyOf": [dict(kind), {"type": "null"}]}


def _list(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": dict(items)}


_RATIO: Final = _object(
    {
        "value": _NUMBER,
        "low": _NUMBER,
        "high": _NUMBER,
        "certain": {
            **_TRUTH,
            "description": "from enough rounds for a 95 % interval; else low and high are their range",
        },
        "verdict": {"enum": ["faster", "slower", "not distinguishable", "too few rounds"]},
    }
)
_QUANTILES: Final = _object(
    dict.fromkeys(("min", "mean", "p50", "variation"), _NUMBER)
    | {key: {**_or_null(_NUMBER), "description": "null for too few values"} for key in ("p90", "p95", "p99")}
    | {"count": _COUNT}
)
_VERDICT: Final = _object({
    "gate": {"enum": ["min-speedup", "max-slowdown", "max-size", "max-engine-size", "max-error", "parity", "engine"]},
    "name": _TEXT, "passed": _TRUTH, "line": _TEXT, "allowed": _TRUTH,
})  # fmt: skip
_PARITY: Final = _object({
    "max_abs": _or_null(_NUMBER), "max_rel": _or_null(_NUMBER), "cosine": _or_null(_NUMBER),
    "unequal": {**_or_null(_NUMBER), "description": "share of integers, truths and strings"},
    "paired_by": {"enum": ["name", "position", None], "description": "outputs"},
    "beyond": {**_or_null(_NUMBER), "description": "share of samples off by more than the tolerance"},
    "top1_agreement": _or_null(_NUMBER), "samples": _or_null(_COUNT), "finite": _or_null(_TRUTH),
    "tolerance": _or_null(_NUMBER), "ok": _or_null(_TRUTH), "problem": _TEXT,
})  # fmt: skip
MEASUREMENT: Final = _object({
    "name": _TEXT, "file": _TEXT, "size_bytes": _COUNT, "runtime": _TEXT, "provider": _TEXT, "rounds": _COUNT,
    "runs": _COUNT, "clock": {"enum": ["processor", "wall", "device"], "description": "of round_s and all ratios"},
    "cpu_time": _TRUTH, "throughput_per_s": _NUMBER, "latency_s": _QUANTILES,
    "latency_wall_s": _QUANTILES, "round_s": _list(_NUMBER), "round_wall_s": _list(_NUMBER), "noise": _NUMBER,
    "load_s": _NUMBER, "first_inference_s": _NUMBER, "noisy": _TRUTH,
    "transfers": _or_null(_object({"upload_s": _NUMBER, "download_s": _NUMBER})),
})  # fmt: skip
_COMPARISON: Final = _object({
    "scenario": {"enum": ["latency", "throughput"]},
    "target": _object({"backend": _TEXT, "device": _TEXT, "batch": _COUNT, "threads": _COUNT, "streams": _COUNT}),
    "stopped": {"enum": ["precise", "seconds", "rounds"]},
    "loads": {**_list(_COUNT), "description": "rounds of each time that all files were loaded"},
    "noisy": _TRUTH,
    "baseline": {**_TEXT, "description": "the file that ratios are to"},
    "measurements": _by_name(MEASUREMENT),
    "ratios": _by_name(_RATIO, "times as fast as the file called baseline, in turns with it"),
    "to_saved": _by_name(_RATIO, "times as fast as in the file of --baseline"),
    "parity": _by_name(_PARITY, "the timed session against its own file, computed node by node"),
    "differences": _by_name(_PARITY, "the timed session against the file of --compare"),
    "memory": _by_name(_or_null(_object({"before_bytes": _COUNT, "peak_bytes": _COUNT})), "of a process of its own"),
    "energy": _or_null(_object({"meter": _TEXT, "joules": _by_name(_NUMBER, "of an inference")})),
    "inputs": _object({
        "random": {**_TRUTH, "description": "by the seed; else those of --inputs"},
        "arrays": _by_name(_by_name(_object({"type": _TEXT, "shape": _list(_COUNT), "sha256": _TEXT}))),
    }),
    "layers": _or_null(_list(_object({
        "layer": _TEXT, "mean_s": _by_name(_NUMBER), "operators": _by_name(_TEXT), "ratios": _by_name(_NUMBER),
    }))),
    "warnings": _list(_TEXT),
    "verdicts": _list(_VERDICT),
})  # fmt: skip
_ENGINE: Final = _object({
    "size_bytes": _COUNT, "sha256": _TEXT, "runtime": _TEXT, "capabilities": _list(_TEXT),
    "precision": {"enum": ["fp32", "fp16", "int8"]},
    "batches": _or_null(_object({"min": _COUNT, "opt": _COUNT, "max": _COUNT})),
    "weights_bytes": _or_null(_COUNT), "activation_bytes": _or_null(_COUNT), "scratch_bytes": _or_null(_COUNT),
    "layers": _COUNT, "build_s": _NUMBER, "cached": _TRUTH,
    "unmeasured": {**_or_null(_TEXT), "description": "why it was not timed; null where a comparison did"},
})  # fmt: skip
_ENGINES: Final = {"anyOf": [_ENGINE, {**_object({"problem": _TEXT}), "description": "why there is none"}]}
MACHINE: Final = _object({
    "fingerprint": _TEXT, "cpu": _TEXT, "cpu_flags": _list(_TEXT), "cpu_kinds": _list(_TEXT),
    "caches": _list(_TEXT), "gpus": _list(_TEXT), "gpu_driver": _or_null(_TEXT), "cores_physical": _COUNT,
    "cores_logical": _COUNT, "cores_usable": _COUNT,
    "cores_allowed": _or_null(_NUMBER), "memory_bytes": _COUNT, "os": _TEXT, "python": _TEXT,
    "versions": _by_name(_TEXT), "load_average": _list(_NUMBER),
})  # fmt: skip


def bench_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a result, `condensa.bench/2`; what `bench` refuses is another document."""
    sizes = {"file": _COUNT, "stripped": _or_null(_COUNT), "zstd": _or_null(_COUNT), "weights": _COUNT}
    result = _object({
        "schema": {"const": "condensa.bench/2"},
        "status": {"enum": ["ok", "not-met"]},
        "exit_code": {"enum": [0, 1]},
        "reasons": _list(_TEXT),
        "machine": MACHINE,
        "seed": _COUNT,
        "base": _or_null(_TEXT),
        "sizes": _by_name(_object(sizes), "bytes"),
        "sha256": _by_name(_TEXT, "of the file, and of those that hold its weights, one after another"),
        "engines": _by_name(_ENGINES, "of TensorRT: those of --engine, or those that were timed"),
        "verdicts": _list(_VERDICT),
        "comparisons": {**_list(_COMPARISON), "minItems": 1},
    })  # fmt: skip
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "condensa bench", **result}
