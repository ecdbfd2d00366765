"""`bench`: exported files timed against each other, on one runtime or several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from condensa_core import bench as measuring
from condensa_core.bench import (
    Bounds,
    Comparison,
    InputRequest,
    ModelFile,
    Verdict,
    Witness,
    examine,
    judge_engine,
    judge_outputs,
    judge_ratio,
    judge_size,
    judge_speed,
    require_room,
    runtime_named,
    sizes_of,
)
from condensa_core.bench.sizes import sha256_of
from condensa_core.bench.steadiness import warnings_of
from condensa_core.errors import UsageError
from condensa_core.flow.bench_baseline import ratios_to_saved, require_same_machine
from condensa_core.flow.bench_cases import Case, Manner, cases_of, require_same_work, short_names
from condensa_core.flow.bench_surroundings import energy_of, layers_in, memory_of
from condensa_core.progress import Listener, silent
from condensa_core.randomness import Seed

SCHEMA: Final = "condensa.bench/2"
_UNBOUNDED: Final = Bounds()


def bench(
    paths: Sequence[Path],
    *,
    runtimes: Sequence[str] = ("onnxruntime",),
    scenarios: Sequence[str] = (),
    batches: Sequence[int] = (),
    shapes: Sequence[str] = (),
    inputs: Path | None = None,
    threads: int = 1,
    streams: int = 1,
    device: str = "cpu",
    seconds: float = 2.0,
    rounds: int = 100,
    seed: int = 0,
    compare: Path | None = None,
    bounds: Bounds = _UNBOUNDED,
    allow_mismatch: bool = False,
    baseline: Mapping[str, Any] | None = None,
    memory: bool = True,
    layers: bool = False,
    engines: Sequence[str] = (),
    timeout_s: float | None = None,
    listener: Listener = silent,
) -> dict[str, Any]:
    """The comparisons as JSON values (schema condensa.bench/2) with status, exit_code and reasons.

    There is one for each runtime, scenario and batch. latency is one inference after another at one batch, 1 where
    neither `batches` nor the files say otherwise; throughput sweeps over `batches`, or 1, 8 and 32 where that is open,
    with `streams` inferences under way at once. No scenario: latency for at most one batch and one stream, else
    throughput. A runtime measures those of the files that are of its kind; every file must be of the kind of one of
    them. All are fed the same numbers: random by `seed`, of sizes that the batch and `shapes` (`NAME=8x3x224x224`,
    `NAME=32`) give where the files leave them open, or the arrays of the .npz file `inputs`.
    Every session that is timed is first held against its own file computed node by node; with `compare` all ratios are
    to that file, and so are the differences of outputs. `verdicts` has a line for each bound and each parity, `reasons`
    those that fail; a failed parity does not count with `allow_mismatch`. `baseline` is an earlier result, of this
    machine: the bounds on speed are then against what the same files took in it. `memory` asks for the peak of a
    process for each file, `layers` for the times of layers on ONNX Runtime, `engines` for what TensorRT for RTX makes
    of the ONNX files for these compute capabilities (`sm89`): built before anything is timed, and not timed themselves.
    A file of which none can be built is timed all the same, and fails. `timeout_s` as for `compare` of one comparison.
    UsageError for files that cannot be measured, MissingRuntime for what is not installed.
    """
    _refuse_contradictions(runtimes, compare, bounds, baseline, layers=layers, engines=engines, device=device)
    if baseline is not None:
        require_same_machine(baseline, runtimes)
    named = short_names([compare, *paths] if compare else list(paths))
    base = next(iter(named)) if compare else None
    manner = Manner(runtimes, scenarios, batches, device, threads, streams)
    found = {name: examine(path) for name, path in named.items()}
    require_room(found.values())
    whole, open_sizes = measuring.parse_shapes(shapes)
    request = InputRequest(None, sizes=open_sizes, shapes=whole, file=inputs, seed=Seed(seed))
    cases = cases_of(found, base, manner, request, baseline)
    if base is not None and (bounds.min_speedup, bounds.max_slowdown) != (None, None):
        require_same_work(cases, base)
    asked = _Asked(found, base, bounds, allow_mismatch, memory, layers, seconds, rounds, Seed(seed), timeout_s)
    sweep = [case.target.batch for case in cases]
    built = _built(found, engines, (), sweep, listener)
    measured = [_measured(asked, case, listener) for case in cases]
    built = built or _built(found, (), _builders(runtimes), sweep, listener)
    return _document(asked, built, measured)


def _refuse_contradictions(
    runtimes: Sequence[str],
    compare: Path | None,
    bounds: Bounds,
    baseline: Mapping[str, Any] | None,
    *,
    layers: bool,
    engines: Sequence[str],
    device: str,
) -> None:
    """UsageError for options that mean nothing together, before any file is read."""
    for gate, bound in (("min-speedup", bounds.min_speedup), ("max-slowdown", bounds.max_slowdown)):
        if bound is not None and compare is None and baseline is None:
            raise UsageError(f"--{gate} needs --compare or --baseline: against what?")
    if baseline is not None and compare is not None:
        raise UsageError("--baseline and --compare exclude each other: a bound holds against one of them")
    if layers and "onnxruntime" not in runtimes:
        raise UsageError("--layers needs the runtime onnxruntime, whose profile it reads")
    if layers and device != "cpu":
        hint = f"leave out --device {device}, or --layers"
        raise UsageError("--layers reads the profile of ONNX Runtime's CPU provider", hint=hint)
    if bounds.max_engine_bytes is not None and not engines and not _builders(runtimes):
        raise UsageError("--max-engine-size needs engines: name what to build for, such as --engine sm89")


@dataclass(frozen=True)
class _Asked:
    """What holds for every comparison of a call."""

    found: Mapping[str, ModelFile]
    base: str | None
    bounds: Bounds
    allow_mismatch: bool
    memory: bool
    layers: bool
    seconds: float
    rounds: int
    seed: Seed
    timeout_s: float | None


def _measured(asked: _Asked, case: Case, listener: Listener) -> dict[str, Any]:
    """One comparison with its verdicts and what stands beside it, as JSON values."""
    target, feeds = case.target, case.fed.timed.feeds
    witness = Witness(asked.found, case.fed.judged, target.device, base=asked.base, max_error=asked.bounds.max_error)
    comparison = measuring.compare(
        case.paths,
        target,
        seconds=asked.seconds * len(case.paths),
        rounds=asked.rounds,
        seed=asked.seed,
        feeds=feeds,
        check=witness,
        timeout_s=asked.timeout_s,
        listener=listener,
    )
    to_saved = dict(ratios_to_saved(comparison, case.saved))
    verdicts = [*_verdicts(asked, comparison, witness)]
    for name, ratio in to_saved.items():
        verdicts += judge_ratio(name, "what was saved", ratio, asked.bounds)
    record = {key: value for key, value in comparison.to_json().items() if key not in ("schema", "seed", "machine")}
    return {
        "scenario": case.scenario,
        **record,
        "to_saved": {name: {**asdict(ratio), "verdict": ratio.verdict} for name, ratio in to_saved.items()},
        "parity": {name: parity.to_json() for name, parity in witness.parity.items()},
        "differences": {name: parity.to_json() for name, parity in witness.to_base.items()},
        "inputs": case.inputs,
        "memory": memory_of(case.paths, target, feeds) if asked.memory else {},
        "energy": energy_of(case.paths, target, feeds),
        "layers": layers_in(case.paths, target, feeds) if asked.layers else None,
        "warnings": [*_guesses(case), *warnings_of(comparison)],
        "verdicts": [asdict(verdict) for verdict in verdicts],
    }


def _document(asked: _Asked, built: Mapping[str, Any], measured: list[dict[str, Any]]) -> dict[str, Any]:
    """All of it with the verdicts that are of the files themselves; of several comparisons each verdict says which."""
    found, base, bounds = asked.found, asked.base, asked.bounds
    if len(measured) > 1:
        for record in measured:
            for verdict in record["verdicts"]:
                verdict["line"] += f" ({_where(record)})"
    sizes = {name: sizes_of(file) for name, file in found.items()}
    of_sizes = [v for name in found if name != base for v in judge_size(name, sizes[name].file, bounds)]
    for name, facts in built.items():
        limits = bounds if name != base else _UNBOUNDED
        of_sizes += judge_engine(name, facts.get("size_bytes"), facts.get("problem", ""), limits)
    reasons = [v.line for v in of_sizes if not v.passed]
    for record in measured:
        reasons += [v["line"] for v in record["verdicts"] if not (v["passed"] or v["allowed"])]
    return {
        "schema": SCHEMA,
        "status": "not-met" if reasons else "ok",
        "exit_code": 1 if reasons else 0,
        "reasons": reasons,
        "machine": measuring.describe_machine().to_json(),
        "seed": asked.seed.root,
        "base": base,
        "sizes": {name: asdict(size) for name, size in sizes.items()},
        "sha256": {name: sha256_of(file) for name, file in found.items()},
        "engines": built,
        "verdicts": [asdict(verdict) for verdict in of_sizes],
        "comparisons": measured,
    }


def _guesses(case: Case) -> Iterator[str]:
    """A sentence for each file whose figures per sample rest on a guess."""
    for name in case.fed.guessed:
        if name in case.paths:
            yield (
                f"{name} fixes its shapes: {case.target.batch}, its first dimension, is taken for samples; say "
                f"--batch {case.target.batch} if it is, else read throughput as {case.target.batch} times inferences"
            )


def _builders(runtimes: Sequence[str]) -> list[str]:
    """Those that make engines of the files."""
    return [runtime for runtime in runtimes if runtime_named(runtime).builds]


def _built(
    found: Mapping[str, ModelFile],
    capabilities: Sequence[str],
    timed: Sequence[str],
    sweep: Sequence[int],
    listener: Listener,
) -> dict[str, Any]:
    """The engines for named capabilities, or else those that the first of the runtimes `timed` has run; or none."""
    if not (capabilities or timed):
        return {}
    from condensa_core.flow.bench_engines import engines_named, engines_timed  # loads torch, which takes seconds

    if capabilities:
        return engines_named(found, capabilities, sweep, listener)
    return engines_timed(found, timed[0], sweep, listener)


def _where(record: Mapping[str, Any]) -> str:
    """Which of several comparisons it is."""
    target = record["target"]
    return f"{target['backend']}, {record['scenario']} at batch {target['batch']}"


def _verdicts(asked: _Asked, comparison: Comparison, witness: Witness) -> Iterator[Verdict]:
    base = asked.base
    for name in comparison.measurements:
        allow = asked.allow_mismatch
        parity = witness.parity[name]
        gate: Literal["max-error", "parity"] = "max-error" if parity.asked else "parity"
        yield from judge_outputs(gate, name, "its file computed node by node", parity, allow=allow)
        if base is not None and name != base:
            yield from judge_outputs("max-error", name, base, witness.to_base[name], allow=False)
            yield from judge_speed(comparison, name, base, asked.bounds)
