"""What `bench` found as tables of plain text, from its JSON document (condensa.bench/2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from condensa_core.report.quantities import UNKNOWN, bytes_text, duration_text, quantity_text
from condensa_core.report.tables import Table

Record = Mapping[str, Any]
_BESIDE = ("ratio", "parity", "wall/CPU")


@dataclass(frozen=True)
class Section:
    """What was run by what and where, its tables, and a line for each verdict that a reader must see."""

    heading: str
    tables: tuple[Table, ...]
    lines: tuple[str, ...]


def bench_sections(result: Record) -> tuple[Section, ...]:
    """One section for each runtime and scenario, and a last one with the sizes of all files and engines."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for comparison in result["comparisons"]:
        groups.setdefault((comparison["target"]["backend"], comparison["scenario"]), []).append(comparison)
    drawn = {"latency": _latencies, "throughput": _throughputs}
    sections = []
    for (_, scenario), comparisons in groups.items():
        tables = (
            drawn[scenario](comparisons),
            _costs(comparisons),
            _transfers(comparisons),
            _differences(comparisons, result["base"]),
            *map(_layers, comparisons),
        )
        lines = tuple(line for each in comparisons for line in _lines(each, of_several=len(comparisons) > 1))
        sections.append(Section(_conditions(scenario, comparisons, result["machine"]), _filled(tables), lines))
    lines = (*_engine_lines(result["engines"]), *(verdict["line"] for verdict in result["verdicts"]))
    tables = (_sizes(result["sizes"], result["base"]), _engines(result["engines"]))
    sections.append(Section("", _filled(tables), lines))
    return tuple(sections)


def parity_text(parity: Record) -> str:
    """`ok 3e-07`, `FAIL 0.34`, or that it was not checked; the figure is the largest relative difference."""
    if parity["samples"] is None:
        return "not checked" if parity["ok"] is None else "FAIL other outputs"
    if not parity["finite"]:
        return f"{_word(parity['ok'])}NaN or infinity"
    ids = f", {parity['unequal']:.1%} of integers" if parity["unequal"] else ""
    return f"{_word(parity['ok'])}{_error_text(parity['max_rel'])}{ids}"


def _filled(tables: Sequence[Table]) -> tuple[Table, ...]:
    return tuple(table for table in tables if table.rows)


def _conditions(scenario: str, comparisons: Sequence[Record], machine: Record) -> str:
    """What all files of these comparisons were run by and on, in one line."""
    target, (measured, *_) = comparisons[0]["target"], comparisons[0]["measurements"].values()
    threads = _counted(target["threads"], "thread")
    if target["streams"] > 1:
        threads = f"{_counted(target['streams'], 'stream')} of {threads}"
    runtime = f"{measured['runtime']} ({measured['provider']})"
    batches = ", ".join(str(comparison["target"]["batch"]) for comparison in comparisons)
    return f"{runtime}, {scenario} at batch {batches}, {threads}, {_clock(scenario, measured)}; {machine['cpu']}"


def _clock(scenario: str, measured: Record) -> str:
    """Whose time it is; where single inferences and stretches have two, both."""
    name = f"{measured['clock']} time"
    return "wall time, ratios of device time" if (scenario, name) == ("latency", "device time") else name


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _latencies(comparisons: Sequence[Record]) -> Table:
    columns = ("model", "median", "p90", "p99", *_BESIDE)
    rows = []
    for comparison, name, measured in _each(comparisons):
        latency = measured["latency_s"]
        known = (latency[percentile] for percentile in ("p50", "p90", "p99"))
        times = tuple(UNKNOWN if seconds is None else duration_text(seconds) for seconds in known)
        rows.append((name, *times, *_beside(comparison, name, measured)))
    return Table(_against(comparisons), columns, tuple(rows))


def _throughputs(comparisons: Sequence[Record]) -> Table:
    columns = ("model", "batch", "samples", *_BESIDE)
    rows = []
    order = list(dict.fromkeys(name for _, name, _ in _each(comparisons)))
    for comparison, name, measured in sorted(_each(comparisons), key=lambda each: order.index(each[1])):
        samples = quantity_text(measured["throughput_per_s"], "1/s")
        rows.append((name, str(comparison["target"]["batch"]), samples, *_beside(comparison, name, measured)))
    return Table(_against(comparisons), columns, tuple(rows))


def _against(comparisons: Sequence[Record]) -> str:
    """What the ratios of a table are to; nothing where it has none."""
    if any(comparison["to_saved"] for comparison in comparisons):
        return "ratio: times as fast as what was saved"
    several = any(comparison["ratios"] for comparison in comparisons)
    return f"ratio: times as fast as {comparisons[0]['baseline']}" if several else ""


def _beside(comparison: Record, name: str, measured: Record) -> tuple[str, str, str]:
    """Of every scenario: the ratio to the base or to what was saved, the parity, the noise."""
    ratio = comparison["to_saved"].get(name) or comparison["ratios"].get(name)
    return _ratio_text(ratio), parity_text(comparison["parity"][name]), f"{measured['noise']:.2f}"


def _costs(comparisons: Sequence[Record]) -> Table:
    """What a start takes, and memory and energy where they are known."""
    rows = []
    for comparison, name, measured in _each(comparisons):
        taken, energy = comparison["memory"].get(name), comparison["energy"]
        memory = bytes_text(taken["peak_bytes"] - taken["before_bytes"]) if taken else UNKNOWN
        joules = f"{energy['joules'][name] * 1e3:.3g} mJ ({energy['meter']})" if energy else UNKNOWN
        start = (duration_text(measured["load_s"]), duration_text(measured["first_inference_s"]))
        rows.append((name, str(comparison["target"]["batch"]), *start, memory, joules))
    return Table("", ("model", "batch", "load", "first run", "peak memory", "energy of a run"), tuple(rows))


def _transfers(comparisons: Sequence[Record]) -> Table:
    """What the times above leave out."""
    rows = []
    for comparison, name, measured in _each(comparisons):
        if moved := measured["transfers"]:
            batch = str(comparison["target"]["batch"])
            rows.append((name, batch, duration_text(moved["upload_s"]), duration_text(moved["download_s"])))
    columns = ("model", "batch", "inputs to the device", "outputs to the host")
    return Table("transfers, apart from the times", columns, tuple(rows))


def _layers(comparison: Record) -> Table:
    """Layers side by side; the ratio is how many times faster than in the first file."""
    names = list(comparison["measurements"])
    rows = []
    for layer in comparison["layers"] or ():
        cells: list[str] = [layer["layer"]]
        for name in names:
            known = name in layer["mean_s"]
            cells.append(duration_text(layer["mean_s"][name]) if known else UNKNOWN)
            cells.append(layer["operators"].get(name, UNKNOWN))
            if name != names[0]:
                cells.append(quantity_text(layer["ratios"].get(name), "x"))
        rows.append(tuple(cells))
    columns = ["layer"]
    for name in names:
        columns += [name, "kernels"] + (["ratio"] if name != names[0] else [])
    batch = comparison["target"]["batch"]
    return Table(f"layers at batch {batch}, profiled one file after another", tuple(columns), tuple(rows))


def _differences(comparisons: Sequence[Record], base: str | None) -> Table:
    rows = []
    for comparison in comparisons:
        for name, found in comparison["differences"].items():
            agreement = found["top1_agreement"]
            figures = (UNKNOWN, UNKNOWN, UNKNOWN)
            if found["samples"] is not None:
                cosine = UNKNOWN if found["cosine"] is None else f"{found['cosine']:.6f}"
                figures = (_error_text(found["max_abs"]), _error_text(found["max_rel"]), cosine)
            same = UNKNOWN if agreement is None else f"{agreement:.1%}"
            rows.append((name, str(comparison["target"]["batch"]), *figures, same))
    columns = ("model", "batch", "max |error|", "relative", "cosine", "same class")
    # of noise, where models that agree on real samples may well differ
    noise = " of random inputs" if all(comparison["inputs"]["random"] for comparison in comparisons) else ""
    return Table(f"outputs{noise}, against {base}", columns, tuple(rows))


def _sizes(sizes: Mapping[str, Record], base: str | None) -> Table:
    rows = []
    for name, size in sizes.items():
        ratio = sizes[base]["file"] / size["file"] if base is not None and name != base else None
        figures = (bytes_text(size[count]) for count in ("file", "stripped", "zstd", "weights"))
        rows.append((name, *figures, quantity_text(ratio, "x") if ratio else ""))
    return Table("", ("model", "file", "stripped", "zstd", "weights", "smaller"), tuple(rows))


def _engines(engines: Mapping[str, Record]) -> Table:
    rows = []
    for name, engine in engines.items():
        counts = (bytes_text(engine.get(count)) for count in ("size_bytes", "weights_bytes", "activation_bytes"))
        rows.append((name, *counts, str(engine.get("layers", UNKNOWN))))
    return Table("", ("model", "engine", "weights memory", "activations", "layers"), tuple(rows))


def _engine_lines(engines: Mapping[str, Record]) -> Iterator[str]:
    """What the engines are for, each kind once, and why they were not timed; verdicts tell of files without one."""
    yield from dict.fromkeys(_engine_line(engine) for engine in engines.values() if "problem" not in engine)


def _engine_line(engine: Record) -> str:
    batches = engine["batches"]
    sizes = dict.fromkeys((batches["min"], batches["max"])) if batches else ()
    of = f", batch {' to '.join(map(str, sizes))}" if batches else ""
    why = f"; {engine['unmeasured']}" if engine["unmeasured"] else ""
    return f"engines of {engine['runtime']} in {engine['precision']} for {', '.join(engine['capabilities'])}{of}{why}"


def _lines(comparison: Record, *, of_several: bool) -> Iterator[str]:
    """Every bound, the parities that failed, and what to know; of several batches, with the batch."""
    warn = f"warn  batch {comparison['target']['batch']}: " if of_several else "warn  "
    for verdict in comparison["verdicts"]:
        if verdict["gate"] != "parity" or not verdict["passed"]:
            yield verdict["line"]
    for name, found in comparison["differences"].items():
        if found["problem"] and found["tolerance"] is None:
            yield f"{warn}{name} cannot be held against {comparison['baseline']}: {found['problem']}"
    for warning in comparison["warnings"]:
        yield f"{warn}{warning}"


def _each(comparisons: Sequence[Record]) -> Iterator[tuple[Record, str, Record]]:
    for comparison in comparisons:
        for name, measured in comparison["measurements"].items():
            yield comparison, name, measured


def _ratio_text(ratio: Record | None) -> str:
    if ratio is None:
        return ""
    interval = f"[{ratio['low']:.2f}, {ratio['high']:.2f}]" if ratio["certain"] else "(too few rounds)"
    return f"{ratio['value']:.2f}x {interval}"


def _word(ok: bool | None) -> str:
    return {True: "ok ", False: "FAIL ", None: ""}[ok]


def _error_text(error: float | None) -> str:
    if error is None:
        return "infinite"
    return f"{error:.1e}" if 0 < error < 1e-3 else f"{error:.3g}"
