"""From the journal to what is committed: two JSON records and the tables in Markdown."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from math import isnan, nan
from pathlib import Path
from statistics import median
from typing import Any

from journal import Journal
from ours import HALF, LEVELS
from peer import MODES

from condensa_core.bench import describe_machine

RIGHT = ("EXACT", "EXACT-N")
PACKAGES = ("torch", "torchvision", "timm", "transformers", "torch-pruning", "onnx", "onnxruntime", "numpy")
LIBRARIES = {"tv": "torchvision", "timm": "timm", "hf": "transformers", "toy": "toys"}

Result = dict[str, Any]
Rows = list[list[str]]


def write(journal: Journal, folder: Path, *, limit: int) -> None:
    """structured.json, structured_onnx.json and structured.md, of what the journal has so far."""
    found: dict[str, dict[str, Result]] = {}
    for (work, name), entry in journal.latest().items():
        found.setdefault(work, {})[name] = entry["result"]
    engines = sorted({entry["engine"] for entry in journal.latest().values()} - {""})
    made = {
        "command": "python benchmarks/structured/run.py --journal structured.jsonl --out benchmarks/results",
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "machine": describe_machine().to_json(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "engine": engines,
        "limit_cpu_s": limit,
    }
    works = ("ours", "strict", "others", "onnx", "families")
    ours, strict, others, onnx, families = (found.get(work, {}) for work in works)
    peers = {work.removeprefix("peer "): results for work, results in found.items() if work.startswith("peer ")}
    missed = _missed(ours, peers)
    record = {
        "benchmark": "coupled removal of channels: condensa and Torch-Pruning over the same architectures",
        **made,
        "n": len(ours),
        "summary": {
            "ours": _summary(ours),
            "strict": _summary(strict),
            "others": _summary(others),
            "torch_pruning": {mode: _counts(results) for mode, results in peers.items()},
            "pruned_rightly_by_torch_pruning_only": missed,
        },
        "ours": _without_dims(ours),
        "strict": _without_dims(strict),
        "others": _without_dims(others),
        "torch_pruning": {mode: _without_dims(results) for mode, results in peers.items()},
    }
    _save(folder / "structured.json", record)
    if onnx:
        named = "ONNX Runtime, one thread: processor time of an inference before and after half of every family is cut"
        timed = {"architectures": onnx, "families_one_by_one": families}
        _save(folder / "structured_onnx.json", {"benchmark": named, **made, "n": len(onnx), **timed})
    text = [_head(made, record["summary"], ours), _ours_table(ours, strict), _whole(ours)]
    text += [_peer_tables(ours, peers, missed), _others_table(others), _onnx_tables(onnx)]
    text += [_family_table(families)]
    (folder / "structured.md").write_text("\n".join(part for part in text if part))


def _save(path: Path, record: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(record, indent=1) + "\n")


def _without_dims(value: Any) -> Any:
    """The record without the lists of single dimensions, which only the comparison needs."""
    if isinstance(value, dict):
        return {key: _without_dims(item) for key, item in value.items() if key != "dims_cut"}
    return value


def _counts(results: Mapping[str, Result]) -> dict[str, int]:
    return dict(Counter(result["verdict"] for result in results.values()).most_common())


def _summary(results: Mapping[str, Result]) -> dict[str, Any]:
    """`right`: architectures of which every cut was right."""
    analysed = {name: result for name, result in results.items() if "levels" in result}
    if not analysed:
        return {"n": len(results)}
    cuts = [(level, cut) for result in analysed.values() for level, cut in result["levels"].items()]
    cut_s = [cut["cut_s"] for _, cut in cuts if "cut_s" in cut]
    half = [result["levels"][HALF] for result in analysed.values() if "layers_cut" in result["levels"][HALF]]
    layers, cut = sum(r["layers"] for r in analysed.values()), sum(c["layers_cut"] for c in half)
    slowest = max(analysed, key=lambda name: analysed[name]["analysis_s"])
    return {
        "n": len(results),
        "verdicts": _counts(results),
        "right": sum(result["verdict"] in RIGHT for result in analysed.values()),
        "not_right": [name for name, result in results.items() if result["verdict"] not in RIGHT],
        "by_level": {level: dict(Counter(c["verdict"] for at, c in cuts if at == level)) for level in LEVELS},
        "confirmed_independently": sum(c.get("independent") in ("EXACT", c.get("own")) for _, c in cuts),
        "cuts": len(cuts),
        "worst_error": max((c["own_error"] for _, c in cuts if "own_error" in c), default=None),
        "layers": layers,
        "layers_cut": cut,
        "layers_cut_percent": round(100 * cut / layers, 2),
        "module_route": sum(result.get("module", False) for result in analysed.values()),
        "export_s": [median(r["export_s"] for r in analysed.values()), max(r["export_s"] for r in analysed.values())],
        "analysis_s": [median(r["analysis_s"] for r in analysed.values()), analysed[slowest]["analysis_s"], slowest],
        "cut_s": [median(cut_s), max(cut_s)],
        "parameters_left_percent": round(
            100 * median(r["levels"][HALF]["parameters"] / r["parameters"] for r in analysed.values()), 1
        ),
    }


def _missed(ours: Mapping[str, Result], peers: Mapping[str, Mapping[str, Result]]) -> dict[str, dict[str, list[str]]]:
    """Dimensions of tensors, by architecture, that Torch-Pruning cut in a right result and the engine in none.

    Apart from them, whole tensors of which it cut another dimension.
    """
    missed = {}
    for name, result in ours.items():
        cuts = result.get("levels", {}).values()
        mine = {dim for cut in cuts if cut["verdict"] in RIGHT for dim in cut["dims_cut"]}
        theirs = {
            dim for of in peers.values() for dim in of.get(name, {}).get("dims_cut", []) if of[name]["verdict"] in RIGHT
        }
        touched = {_tensor(dim) for dim in mine}
        if theirs - mine:
            missed[name] = {
                "tensors": sorted({_tensor(dim) for dim in theirs} - touched),
                "dims": sorted(dim for dim in theirs - mine if _tensor(dim) in touched),
            }
    return missed


def _tensor(dim: str) -> str:
    return dim.rpartition(":")[0]


def _head(made: Mapping[str, Any], summary: Mapping[str, Any], ours: Mapping[str, Result]) -> str:
    mine, strict, machine = summary["ours"], summary["strict"], made["machine"]
    if "right" not in mine:
        return "# Channels off 68 architectures\n"
    missed = summary["pruned_rightly_by_torch_pruning_only"]
    whole = sum(len(entry["tensors"]) for entry in missed.values())
    refused = [name for name, result in ours.items() if result["verdict"] == "REFUSED"]
    wrong = [name for name in mine["not_right"] if name not in refused]
    lines = [
        "# Channels off 68 architectures",
        "",
        f"Written by `{made['command']}` on {made['date']}: {machine['cpu']}, one thread, processor seconds, "
        + ", ".join(f"{name} {number}" for name, number in made["versions"].items())
        + ". Random weights, half of every family's units removed unless said otherwise, those with the smallest l2 "
        "norm of producing rows.",
        "",
        "**EXACT**: in float64 the cut model equals the original with every removed weight element set to zero "
        "(relative 1e-10). **EXACT-N**: the same, once norms and means over removed channels take the survivors only. "
        "Every verdict needs two judges: the engine's own check, and one that reads what was removed off the cut "
        "model's tensors and trusts no bookkeeping. **WRONG**: runs, and computes something else.",
        "",
        "| | condensa | Torch-Pruning 1.6.1 |",
        "|---|---|---|",
        f"| right at 25, 50 and 75 %, with one unit gone, with one left | {mine['right']} of {mine['n']} | – |",
        f"| right at 50 % | {sum(mine['by_level'][HALF].get(v, 0) for v in RIGHT)} | {_peer_right(summary)} |",
        f"| wrong | {len(wrong)} {', '.join(wrong)} | {_peer_wrong(summary)} |",
        f"| conv and linear layers cut at 50 % | {mine['layers_cut']} of {mine['layers']} "
        f"({mine['layers_cut_percent']} %) | |",
        f"| analysis without export, median / slowest | {mine['analysis_s'][0]:.2f} s / {mine['analysis_s'][1]:.2f} s "
        f"({mine['analysis_s'][2]}) | |",
        f"| torch.export, median / slowest | {mine['export_s'][0]:.1f} s / {mine['export_s'][1]:.1f} s | |",
        f"| one cut, median / slowest | {mine['cut_s'][0]:.2f} s / {mine['cut_s'][1]:.2f} s | |",
        f"| cut on the user's own classes as well | {mine['module_route']} | |",
        f"| tensors that only Torch-Pruning cuts, in a right result | {whole} | |",
        "",
        f"{mine['confirmed_independently']} of {mine['cuts']} cuts were confirmed by the independent judge; the worst "
        f"error of the engine's own check is {mine['worst_error']:.0e}. "
        f"Strict mode: {strict.get('verdicts', {})}, {strict.get('layers_cut')} of {strict.get('layers')} layers cut.",
        *(f"\n{name} is refused: {ours[name]['error']}." for name in refused),
        "",
    ]
    return "\n".join(lines)


def _peer_right(summary: Mapping[str, Any]) -> str:
    modes = summary["torch_pruning"]
    return ", ".join(f"{sum(of.get(v, 0) for v in RIGHT)} {mode[:-4]}" for mode, of in modes.items() if "50%" in mode)


def _peer_wrong(summary: Mapping[str, Any]) -> str:
    modes = summary["torch_pruning"]
    return ", ".join(f"{of.get('WRONG', 0)} {mode[:-4]}" for mode, of in modes.items() if "50%" in mode)


def _table(title: str, header: Iterable[str], rows: Rows) -> str:
    header = list(header)
    lines = [f"## {title}", "", "| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows), ""])


def _millions(before: float, after: float | None) -> str:
    left = "–" if after is None else f"{after / 1e6:.2f}"
    return f"{before / 1e6:.2f} → {left}"


def _level_cells(result: Result) -> list[str]:
    return [result["levels"][level]["verdict"] for level in LEVELS]


def _ours_table(ours: Mapping[str, Result], strict: Mapping[str, Result]) -> str:
    rows = []
    for name, result in ours.items():
        if "levels" not in result:
            rows.append([name, result["verdict"], *[""] * 12])
            continue
        half = result["levels"][HALF]
        slowest = max(cut.get("cut_s", 0.0) for cut in result["levels"].values())
        limited = strict.get(name, {}).get("levels", {}).get(HALF, {})
        rows.append(
            [
                name,
                *_level_cells(result),
                f"{limited.get('verdict', '–')} {limited.get('layers_cut', '')}".strip(),
                f"{half.get('layers_cut', 0)}/{result['layers']}",
                _millions(result["parameters"], half.get("parameters")),
                _millions(result["macs"], half.get("macs")),
                str(result["families"]),
                f"{result['export_s']:.1f}",
                f"{result['analysis_s']:.2f}",
                f"{slowest:.2f}",
                "yes" if result.get("module") else "no",
            ]
        )
    header = ["architecture", *LEVELS, "strict, layers", "layers cut", "parameters M", "MACs M", "families"]
    return _table("condensa", [*header, "export s", "analysis s", "slowest cut s", "own classes"], rows)


def _whole(ours: Mapping[str, Result]) -> str:
    """The layers that no cut touches, with the engine's reason."""
    rows = []
    for name, result in ours.items():
        kept = result.get("levels", {}).get(HALF, {}).get("layers_kept", [])
        reasons = {layer: (reason, operator, line) for layer, reason, operator, line in result.get("frozen", [])}
        by_reason: dict[str, list[str]] = {}
        for layer in kept:
            reason, operator, line = reasons.get(layer, ("–", None, ""))
            told = f"{reason}{f', `{operator}`' if operator else ''}{f' ({line})' if line else ''}"
            by_reason.setdefault(told, []).append(layer)
        rows += [[name, ", ".join(layers), reason] for reason, layers in by_reason.items()]
    return _table("Layers that stay whole, and why", ["architecture", "layers", "reason"], rows) if rows else ""


def _peer_tables(
    ours: Mapping[str, Result], peers: Mapping[str, Mapping[str, Result]], missed: Mapping[str, Mapping[str, list[str]]]
) -> str:
    if not peers:
        return ""
    modes = [f"{mode} {ratio}" for mode in MODES for ratio in ("25%", "50%", "75%") if f"{mode} {ratio}" in peers]
    rows = []
    for name, result in ours.items():
        of = {mode: peers[mode].get(name, {}) for mode in modes}
        right = [mode for mode in modes if "50%" in mode and of[mode].get("verdict") in RIGHT]
        best = max((of[mode] for mode in right), key=lambda found: found["layers_cut"], default={})
        seconds = best.get("graph_s", 0) + best.get("prune_s", 0)
        rows.append(
            [
                name,
                *(_peer_word(of[mode]) for mode in modes),
                f"{best['layers_cut']}/{result['layers']}" if best else "–",
                _millions(*best["parameters"]) if best else "–",
                _millions(*best["macs"]) if best else "–",
                f"{seconds:.1f}" if best else "–",
            ]
        )
    header = ["architecture", *modes, "layers cut", "parameters M", "MACs M", "s"]
    text = _table("Torch-Pruning 1.6.1", header, rows)
    text += (
        "\nThe numbers are of its right result at 50 % with most layers cut. *hints*: the number of heads of every "
        "attention is named by hand, the modules' attributes are repaired after. All modes are told the output "
        "layers. TRACE, PRUNE, FORWARD: an exception while building the graph, while pruning, when the pruned model "
        "runs; EMPTY: no output to judge by.\n\n"
    )
    libraries = [[LIBRARIES[short], *_right_counts(short, ours, peers, modes)] for short in LIBRARIES]
    text += _table("Right results by library", ["library", "n", "condensa, all levels", *modes, "any mode"], libraries)
    if missed:
        only = [[name, ", ".join(m["tensors"]) or "–", ", ".join(m["dims"]) or "–"] for name, m in missed.items()]
        header = ["architecture", "tensors", "other dimensions of tensors that both cut"]
        text += "\n" + _table("Cut by Torch-Pruning only, in a right result", header, only)
    return text


def _right_counts(
    short: str, ours: Mapping[str, Result], peers: Mapping[str, Mapping[str, Result]], modes: list[str]
) -> list[str]:
    names = [name for name in ours if name.startswith(short + ".")]
    right = {mode: {name for name in names if peers[mode].get(name, {}).get("verdict") in RIGHT} for mode in modes}
    mine = sum(ours[name]["verdict"] in RIGHT for name in names)
    return [
        str(n) for n in (len(names), mine, *(len(right[mode]) for mode in modes), len(set().union(*right.values())))
    ]


def _peer_word(result: Result) -> str:
    verdict = result.get("verdict", "")
    if verdict == "NO-HINT":
        return "–"
    return f"**{verdict}**" if verdict == "WRONG" else verdict


def _others_table(others: Mapping[str, Result]) -> str:
    rows = []
    for name, result in others.items():
        if "levels" not in result:
            rows.append([name, result["verdict"], *[""] * 8])
            continue
        half = result["levels"][HALF]
        rows.append(
            [
                name,
                *_level_cells(result),
                f"{half.get('layers_cut', 0)}/{result['layers']}",
                _millions(result["parameters"], half.get("parameters")),
                f"{result['analysis_s']:.2f}",
                ", ".join(result["unknown"]) or "–",
            ]
        )
    header = ["architecture", *LEVELS, "layers cut", "parameters M", "analysis s", "unknown operators"]
    return _table("Architectures outside the list", header, rows) if rows else ""


def _onnx_tables(onnx: Mapping[str, Result]) -> str:
    rows: Rows = []
    gains: dict[str, list[tuple[float, float]]] = {}
    for name, result in onnx.items():
        if "speed_up" not in result:
            rows.append([name, result["verdict"], *[""] * 7])
            continue
        value, low, high = result["speed_up"]
        counted = _macs_ratio(result)
        gains.setdefault(result["structure"], []).append((counted, value))
        rows.append(
            [
                name,
                result["verdict"],
                f"{result['cut']['parity']:.0e}",
                f"{result['parameters'][0] / result['parameters'][1]:.1f}x",
                f"{result['whole']['bytes'] / result['cut']['bytes']:.1f}x",
                f"{result['milliseconds'][0]:.2f} → {result['milliseconds'][1]:.2f}",
                _times(counted),
                f"{value:.2f}x ({low:.2f} to {high:.2f})",
                "–" if isnan(counted) else f"{100 * value / counted:.0f} %",
            ]
        )
    if not gains:
        return ""
    kinds = []
    for kind, pairs in sorted(gains.items()):
        speeds = [value for _, value in pairs]
        short = sum(value < counted / 2 for counted, value in pairs)
        medians = [_times(median(counted for counted, _ in pairs)), _times(median(speeds)), _times(min(speeds))]
        kinds.append([kind, str(len(pairs)), *medians, str(short)])
    header = ["architectures of", "n", "MACs, median", "speed-up, median", "smallest", "below half of the MACs' ratio"]
    text = _table("As ONNX in ONNX Runtime, half of every family gone", header, kinds)
    text += "\ntorch counts no MACs of recurrent layers.\n\n"
    header = ["architecture", "verdict", "parity", "parameters", "bytes", "ms", "MACs", "speed-up", "of the MACs'"]
    return text + _table("The same by architecture", header, rows)


def _macs_ratio(result: Result) -> float:
    before, after = result["macs"]
    return nan if result["structure"] == "recurrent" else before / max(after, 1)


def _times(ratio: float) -> str:
    return "–" if isnan(ratio) else f"{ratio:.1f}x"


def _family_table(families: Mapping[str, Result]) -> str:
    rows = [
        [
            name,
            family,
            f"{record['units']} {record['unit']}s",
            f"{record['macs_ratio']:.2f}x",
            "{:.2f}x ({:.2f} to {:.2f})".format(*record["speed_up"]),
        ]
        for name, result in families.items()
        for family, record in result.get("families", {}).items()
    ]
    header = ["architecture", "family", "units", "MACs", "speed-up"]
    return _table("Half of one family gone at a time", header, rows) if rows else ""
