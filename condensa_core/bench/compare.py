"""Files measured against each other, in turns, until the ratios are known."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Literal

from condensa_core.bench.clock import SYSTEM_CLOCK, Clock, Timing, contention, runs_filling, timed
from condensa_core.bench.coming_back import coming_back
from condensa_core.bench.inputs import Feeds, InputRequest, prepare
from condensa_core.bench.interleave import interleave
from condensa_core.bench.loading import failure
from condensa_core.bench.machine import describe_machine
from condensa_core.bench.measurement import Comparison, Measurement, Ratio
from condensa_core.bench.memory import require_memory
from condensa_core.bench.model_file import ModelFile, examine, require_room
from condensa_core.bench.runner import Runner, fitting, open_runner
from condensa_core.bench.sizes import file_bytes
from condensa_core.bench.statistics import FEWEST, median_interval, quantiles, ratio_interval
from condensa_core.bench.stretch import STREAMS_RUNS, ClockName, clock_of, seconds_by, stretch_of
from condensa_core.bench.target import BenchTarget
from condensa_core.bench.transfers import Transfers, transfers_of
from condensa_core.bench.waiting import contention_between, turns
from condensa_core.errors import CondensaError, MachineError, UsageError, first_line
from condensa_core.progress import Advanced, Listener, PhaseEnded, PhaseStarted, silent
from condensa_core.randomness import Seed

PHASE = "bench"
SAMPLE_S = 0.010  # 10 ms: a clock's microsecond is 0.01 % of it, a scheduler's slice seldom falls into it
STREAMS_SAMPLE_S = 0.050  # waking the threads of streams takes tens of microseconds
WARM_UP_S = 0.050
SINGLES = 25  # at most this many single inferences a round, for the latency quantiles
FEWEST_ROUNDS = 25  # stopping earlier, at the first narrow interval, favours intervals that are narrow by luck
CHECK_EVERY = 5
OVERTIME = 10  # how many times `seconds` a comparison may take until it has the rounds of an interval
# Two loads of one file were seen to differ by 18 %, on a processor whose second cache its weights nearly filled.
CLOSE = 1.25
PRECISION = 0.02  # relative half-width of every interval at which more rounds tell nothing worth knowing

DEFAULT_TARGET: Final = BenchTarget()
DEFAULT_SEED: Final = Seed()

Stop = Literal["precise", "seconds", "rounds"]


@dataclass(frozen=True)
class Loaded:
    """A file in its runtime, ready to be timed."""

    path: Path
    runner: Runner
    first_inference_s: float
    repeats: int  # inferences per sample
    stretch: Callable[[int], Timing]
    clock: ClockName  # that of the ratio


@dataclass(frozen=True)
class Sample:
    """One turn of a file: a long stretch for the ratio, then single inferences for the latency."""

    stretch: Timing
    seconds: float  # of an inference in the stretch, by the clock of the ratio
    singles: tuple[Timing, ...]
    contention: float | None  # of all threads meanwhile, where the clocks of the stretch cannot tell


def compare(
    files: Mapping[str, str | Path],
    target: BenchTarget = DEFAULT_TARGET,
    *,
    batch: int | None = None,
    threads: int | None = None,
    seconds: float = 10.0,
    rounds: int = 100,
    seed: Seed = DEFAULT_SEED,
    feeds: Mapping[str, Feeds] | None = None,
    check: Callable[[str, Runner], None] | None = None,
    timeout_s: float | None = None,
    listener: Listener = silent,
    clock: Clock = SYSTEM_CLOCK,
) -> Comparison:
    """How fast each file runs on `target`, and against the others; the first file is the baseline.

    All files are loaded together and take turns in random order. It stops when the intervals of all ratios to the first
    file (of the one median, if there is only one) reach 2 % to either side, else after `rounds` rounds or about
    `seconds`; files too slow for the 6 rounds of a 95 % interval in that time may take ten times as long for those, and
    3 rounds in any case. Where a file would then be told to be faster or slower than the first, on the CPU, by less
    than a quarter, all are loaded anew, in the other order, and timed as long again: `Comparison.loads`. Stretches are
    timed by the processor time of the one thread that works, by the device's clock where the runner tells it, else on
    the wall: `Measurement.clock`. `batch` and `threads` override the target's. `feeds` are what each file is fed; None
    draws random inputs of the target's batch by `seed`. `check` is shown every session before it is timed, and leaves
    it with its inputs. A file that is loaded and run once in more than `timeout_s` ends this process by SIGALRM; None
    waits for ever, and tells so.
    UsageError for no file or one that cannot be run, MissingRuntime for what is not installed, MachineError for what
    does not fit into memory, and for a clock too coarse to time a stretch.
    """
    if not files:
        raise UsageError("nothing to measure: no file was given", hint="give at least one")
    if rounds < 3:
        raise UsageError(f"a comparison needs at least 3 rounds, got {rounds}")
    if batch is not None:
        target = replace(target, batch=batch)
    if threads is not None:
        target = replace(target, threads=threads)
    found = {name: fitting(examine(path), target.backend) for name, path in files.items()}
    require_room(found.values(), judged=check is not None)
    if feeds is None:
        inputs = {name: file.inputs for name, file in found.items()}
        feeds = prepare(inputs, InputRequest(batch=target.batch, seed=seed)).feeds
    copies = sum(array.nbytes for fed in feeds.values() for array in fed.values()) * (target.streams - 1)
    require_memory(copies, f"the inputs of {target.streams} streams")  # each has its own
    once = partial(
        _timed, target=target, feeds=feeds, seconds=seconds, rounds=rounds, timeout_s=timeout_s, listener=listener,
        clock=clock,
    )  # fmt: skip
    paths = {name: Path(path) for name, path in files.items()}
    first = once(paths, seed=seed, check=check)
    loads = [first]
    if target.device == "cpu" and _is_close(first.turns, list(files), seed):
        backwards = {name: paths[name] for name in reversed(paths)}
        loads.append(once(backwards, seed=seed.child("again"), check=None))
    turns = [turn for load in loads for turn in load.turns]
    measurements = {
        name: _measure(found[name], name, item, [t[name] for t in turns], target, first.moved[name])
        for name, item in first.items.items()
    }
    counts = tuple(len(load.turns) for load in loads)
    return Comparison(measurements, target, describe_machine(), seed, loads[-1].stopped, counts)


@dataclass(frozen=True)
class Load:
    """All files, loaded once and timed in turns; the sessions of `items` are closed."""

    items: Mapping[str, Loaded]
    turns: Sequence[Mapping[str, Sample]]
    moved: Mapping[str, Transfers | None]
    stopped: Stop


def _timed(
    paths: Mapping[str, Path],
    *,
    target: BenchTarget,
    feeds: Mapping[str, Feeds],
    seconds: float,
    rounds: int,
    seed: Seed,
    check: Callable[[str, Runner], None] | None,
    timeout_s: float | None,
    listener: Listener,
    clock: Clock,
) -> Load:
    with ExitStack() as stack:
        loaded = {}
        for name, path in paths.items():
            shown = partial(check, name) if check else None
            loaded[name] = _load(path, target, feeds[name], clock, stack, shown, listener, timeout_s)
        listener(PhaseStarted(PHASE, total=rounds, detail=", ".join(paths)))
        stop = StopRule(seed, seconds=seconds, rounds=rounds, listener=listener)
        turns = interleave(
            {name: _turn(item, target, clock) for name, item in loaded.items()},
            rounds=rounds,
            order=seed.numpy_generator("order"),
            enough=stop,
        )
        listener(PhaseEnded(PHASE, f"{len(turns)} rounds"))
        moved = {
            name: None if target.device == "cpu" else transfers_of(item.runner, feeds[name], clock)
            for name, item in loaded.items()
        }
    return Load(loaded, turns, moved, stop.reason)


def _is_close(turns: Sequence[Mapping[str, Sample]], names: Sequence[str], seed: Seed) -> bool:
    """Whether a file would be told to be faster or slower than the first by no more than where it lies may decide."""
    if len(turns) < FEWEST:
        return False
    base = [turn[names[0]].seconds for turn in turns]
    for name in names[1:]:
        found = ratio_interval(base, [turn[name].seconds for turn in turns], seed=seed)
        ratio = Ratio(found.value, found.low, found.high)
        if ratio.verdict in ("faster", "slower") and 1 / CLOSE < ratio.value < CLOSE:
            return True
    return False


class StopRule:
    """Says after each round whether to stop, and keeps the reason."""

    def __init__(self, seed: Seed, *, seconds: float, rounds: int, listener: Listener) -> None:
        self._seed, self._rounds, self._listener = seed, rounds, listener
        started = time.monotonic()
        self._deadline, self._latest = started + seconds, started + OVERTIME * seconds
        self.reason: Stop = "rounds"

    def __call__(self, turns: Sequence[Mapping[str, Sample]]) -> bool:
        done = len(turns)
        self._listener(Advanced(PHASE, done))
        deadline = self._deadline if done >= FEWEST else self._latest
        if done >= 3 and time.monotonic() >= deadline:
            self.reason = "seconds"
            return True
        if done >= FEWEST_ROUNDS and done % CHECK_EVERY == 0 and self._widest(turns) < PRECISION:
            self.reason = "precise"
            return True
        return False

    def _widest(self, turns: Sequence[Mapping[str, Sample]]) -> float:
        first, *others = turns[0]
        times = {name: [turn[name].seconds for turn in turns] for name in turns[0]}
        if not others:
            return median_interval(times[first], seed=self._seed).half_width
        return max(ratio_interval(times[first], times[name], seed=self._seed).half_width for name in others)


def _load(
    path: Path,
    target: BenchTarget,
    feeds: Feeds,
    clock: Clock,
    stack: ExitStack,
    check: Callable[[Runner], None] | None,
    listener: Listener,
    timeout_s: float | None,
) -> Loaded:
    with coming_back(f"the first inference of {path} on {target.backend}", listener, timeout_s):
        try:
            runner = stack.enter_context(open_runner(target, path, feeds, listener))
        except CondensaError:
            raise
        except Exception as err:  # a runtime's errors share no base class with a name
            raise UsageError(
                f"{target.backend} loads {path} and takes no inputs for it: {first_line(err)}",
                hint="see what it takes with condensa inspect, and --shape and --inputs",
            ) from err
        with _running(runner, path):
            first = timed(runner.run, 1, clock)
    if check is not None:
        check(runner)
    stretch = stretch_of(runner, target, clock)
    with _running(runner, path):
        if target.streams == 1:
            repeats = runs_filling(stretch, sample_s=SAMPLE_S, warm_up_s=WARM_UP_S)
        else:
            repeats = runs_filling(stretch, sample_s=STREAMS_SAMPLE_S, warm_up_s=WARM_UP_S)
            repeats = max(repeats, STREAMS_RUNS * target.streams)
    return Loaded(path, runner, first.wall_s, repeats, stretch, clock_of(runner, target))


@contextmanager
def _running(runner: Runner, path: Path) -> Iterator[None]:
    """What the runtime raises inside becomes UsageError; it may run a file once and refuse it the second time."""
    try:
        yield
    except CondensaError:
        raise
    except Exception as err:  # a runtime's errors share no base class with a name
        raise failure(runner.runtime, path, err) from err


def _turn(item: Loaded, target: BenchTarget, clock: Clock) -> Callable[[], Sample]:
    singles = min(SINGLES, -(-item.repeats // 4))

    def take() -> Sample:
        before = None if target.cpu_timed else turns()
        with _running(item.runner, item.path):
            item.runner.run()  # brings the file's weights back into the cache that another file has just used
            stretch = item.stretch(item.repeats)
            after = None if before is None else turns()
            alone = tuple(timed(item.runner.run, 1, clock) for _ in range(singles))
        told = None if target.cpu_timed else contention(clock)
        if before is not None and after is not None:
            told = contention_between(before, after)
        seconds = seconds_by(item.clock, stretch)
        if not seconds > 0:
            raise MachineError(
                f"the {item.clock} clock stood still for {stretch.runs} inferences: it is too coarse",
                hint="on two threads, --threads 2, times are taken from the wall clock",
            )
        return Sample(stretch, seconds, alone, told)

    return take


def _measure(
    file: ModelFile, name: str, item: Loaded, samples: Sequence[Sample], target: BenchTarget, moved: Transfers | None
) -> Measurement:
    round_s = tuple(s.seconds for s in samples)
    singles = [t for s in samples for t in s.singles]
    single_s = tuple(tuple(seconds_by(item.clock, t) for t in s.singles) for s in samples)
    if target.cpu_timed:
        noise = sum(s.stretch.wall_ns for s in samples) / max(sum(s.stretch.cpu_ns for s in samples), 1)
    else:
        noise = sum(s.contention or 1.0 for s in samples) / len(samples)
    return Measurement(
        name=name,
        file=item.path.name,
        size_bytes=file_bytes(file),
        runtime=item.runner.runtime,
        provider=item.runner.provider,
        rounds=len(samples),
        runs=sum(s.stretch.runs + len(s.singles) for s in samples),
        clock=item.clock,
        throughput_per_s=target.batch / quantiles(round_s).p50,
        latency_s=quantiles([seconds for turn in single_s for seconds in turn]),
        latency_wall_s=quantiles([t.wall_s for t in singles]),
        round_s=round_s,
        round_wall_s=tuple(s.stretch.wall_s for s in samples),
        single_s=single_s,
        noise=noise,
        load_s=item.runner.load_s,
        first_inference_s=item.first_inference_s,
        transfers=moved,
    )
