"""What `bench` is to time: which files, under which names, on which runtimes, at which batches, fed with what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from condensa_core.bench import (
    BenchTarget,
    Feeds,
    InputRequest,
    ModelFile,
    Prepared,
    fitting,
    parity_batches,
    prepare,
    require_streams,
    runtime_named,
)
from condensa_core.bench.inputs import batch_is_guessed, batch_is_open
from condensa_core.bench.tensor_types import in_order_of
from condensa_core.errors import UsageError
from condensa_core.flow.bench_baseline import inputs_record, saved_rounds

SCENARIOS: Final = ("latency", "throughput")
SWEEP: Final = (1, 8, 32)  # batches of the throughput scenario where none are given


@dataclass(frozen=True)
class Manner:
    """How files are to be run, whatever files: UsageError for what no runtime of these does, before any is read.

    No scenario: latency for at most one batch and one stream, else throughput.
    """

    runtimes: Sequence[str]
    scenarios: Sequence[str]
    batches: Sequence[int]
    device: str
    threads: int
    streams: int

    def __post_init__(self) -> None:
        list(self.scenario_batches(SWEEP))
        for runtime in self.runtimes:
            require_streams(self.target(runtime, 1))

    def target(self, runtime: str, batch: int) -> BenchTarget:
        return BenchTarget(runtime, self.device, batch, self.threads, self.streams)

    def scenario_batches(self, sweep: Sequence[int | None]) -> Iterator[tuple[str, int | None]]:
        """The scenarios with the batch of each comparison; None is that of the files or what they are fed."""
        scenarios, batches, streams = self.scenarios, self.batches, self.streams
        for scenario in scenarios or (["latency"] if len(batches) < 2 and streams == 1 else ["throughput"]):
            if scenario not in SCENARIOS:
                raise UsageError(f"no scenario called {scenario!r}", hint="known: " + ", ".join(SCENARIOS))
            if scenario == "latency" and streams > 1:
                hint = "several are for --scenario throughput"
                raise UsageError("the latency scenario has one stream: one inference after another", hint=hint)
            if scenario == "throughput":
                yield from ((scenario, batch) for batch in batches or sweep)
            elif len(batches) > 1 and len(scenarios) < 2:
                raise UsageError("the latency scenario has one batch", hint="several are for --scenario throughput")
            else:
                yield scenario, batches[0] if len(batches) == 1 else None


@dataclass(frozen=True)
class Drawn:
    """What all files are fed in one scenario: while they are timed, and to judge them by."""

    timed: Prepared
    judged: Sequence[Mapping[str, Feeds]]
    guessed: Sequence[str]  # files that only a fixed first dimension tells the samples of


@dataclass(frozen=True)
class Case:
    """One comparison to make."""

    scenario: str
    target: BenchTarget
    paths: Mapping[str, Path]
    fed: Drawn
    inputs: Mapping[str, Any]  # a record of them, for baselines
    saved: Mapping[str, list[float]]  # the rounds of the baseline, by file; none without one


def cases_of(
    found: Mapping[str, ModelFile],
    base: str | None,
    manner: Manner,
    request: InputRequest,
    baseline: Mapping[str, Any] | None,
) -> list[Case]:
    """A case for each runtime, scenario and batch, checked as far as that goes before anything is loaded.

    UsageError for files that no runtime of these takes, for inputs that do not fit, and where the baseline has nothing
    to hold a case against.
    """
    shares = {runtime: _share(found, runtime, base) for runtime in manner.runtimes}
    _all_measured(found, shares)
    sweep = SWEEP if all(batch_is_open(file.inputs, request) for file in found.values()) else (None,)
    drawn = [
        (scenario, _drawn(found, replace(request, batch=batch))) for scenario, batch in manner.scenario_batches(sweep)
    ]
    cases = []
    for runtime, files in shares.items():
        for scenario, fed in drawn:
            target = manner.target(runtime, fed.timed.batch)
            inputs = inputs_record({name: fed.timed.feeds[name] for name in files}, random=request.file is None)
            saved: Mapping[str, list[float]] = {}
            if baseline is not None:
                saved = saved_rounds(baseline, target, scenario, files, inputs, request.seed.root)
            cases.append(Case(scenario, target, {name: f.path for name, f in files.items()}, fed, inputs, saved))
    return cases


def require_same_work(cases: Sequence[Case], base: str) -> None:
    """UsageError where a file takes inputs of other shapes than `base`, against which its speed tells nothing."""
    for case in cases:
        wanted = case.fed.timed.feeds[base]
        for name in case.paths:
            given = case.fed.timed.feeds[name]
            pairs = zip(wanted, in_order_of(list(wanted), list(given)), strict=False)
            other = next(((a, b) for a, b in pairs if wanted[a].shape != given[b].shape), None)
            if other is not None or len(wanted) != len(given):
                told = f"{len(given)} inputs, {base} {len(wanted)}"
                if other is not None:
                    told = f"{other[1]} as {_by(given[other[1]].shape)}, {base} takes {_by(wanted[other[0]].shape)}"
                raise UsageError(
                    f"a bound on speed compares like with like, and {name} takes {told}",
                    hint="leave the bound out to see both times, or give both files inputs of one shape",
                )


def short_names(paths: Sequence[Path]) -> dict[str, Path]:
    """Short names that tell the files apart: the file's own, with as many of its folders as it takes."""
    named: dict[str, Path] = {}
    for path in paths:
        tails = (path.parts[-depth:] for depth in range(1, len(path.parts) + 1))
        own = (tail for tail in tails if sum(other.parts[-len(tail) :] == tail for other in paths) == 1)
        name = str(Path(*next(own, path.parts)))
        if name in named:
            raise UsageError(f"{path} is given twice")
        named[name] = path
    return named


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def _drawn(found: Mapping[str, ModelFile], request: InputRequest) -> Drawn:
    timed = prepare({name: file.inputs for name, file in found.items()}, request)
    guessed = [name for name, file in found.items() if batch_is_guessed(file.inputs, request)]
    return Drawn(timed, parity_batches(found, request, timed), guessed)


def _share(found: Mapping[str, ModelFile], runtime: str, base: str | None) -> dict[str, ModelFile]:
    """The files that this runtime measures; UsageError if there is none, or not the one to compare with."""
    takes = runtime_named(runtime).takes
    files = {name: file for name, file in found.items() if file.kind == takes}
    if base is not None and base not in files:
        fitting(found[base], runtime)
    if not files or (base is not None and len(files) == 1):
        fitting(next(file for file in found.values() if file.kind != takes), runtime)
    return files


def _all_measured(found: Mapping[str, ModelFile], shares: Mapping[str, Mapping[str, ModelFile]]) -> None:
    """UsageError for a file that none of the runtimes takes."""
    for name, file in found.items():
        if not any(name in files for files in shares.values()):
            fitting(file, next(iter(shares)))
