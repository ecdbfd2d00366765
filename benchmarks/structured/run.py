"""Channels off 68 architectures: condensa's engine and Torch-Pruning 1.6.1, side by side, every result verified.

    python benchmarks/structured/run.py --journal structured.jsonl --out benchmarks/results

Needs, beside condensa: `pip install --no-deps torchvision==0.28.0` and timm, transformers, torch-pruning==1.6.1. Each
piece of work runs in a process of its own, on one thread, and may take `--limit` seconds of processor time. The journal
grows line by line; a second call goes on after the first, and repeats what an older engine did. `--out` then writes
structured.json, structured_onnx.json and structured.md.

    --only ours|strict|peer|onnx|families|others     a part of the work (again: several parts)
    names...                                         only architectures whose name contains one of these
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

torch.set_num_threads(1)  # before anything can start a thread pool, which would not survive a fork
torch.backends.mha.set_fastpath_enabled(False)  # its fused kernel reads other tensors than the modules hold
warnings.simplefilter("ignore")  # of exporters and libraries; results are judged, not warned about

import ours  # noqa: E402
import peer  # noqa: E402
import speed  # noqa: E402
import tables  # noqa: E402
from isolation import isolated  # noqa: E402
from journal import Journal, engine_digest  # noqa: E402
from others import OTHERS  # noqa: E402
from zoo import ZOO  # noqa: E402

PARTS = ("ours", "strict", "peer", "onnx", "families", "others")
BY_FAMILY = ("tv.resnet18", "timm.vit_tiny_p16", "toy.unet")
RATIOS = (0.5, 0.25, 0.75)  # half first: a graph that cannot be built in time at one ratio cannot at another

Work = tuple[str, str, Callable[[], dict[str, Any]]]


def planned(parts: list[str]) -> Iterator[Work]:
    """All pieces of work, as name, architecture and what to call."""
    if "ours" in parts:
        yield from (("ours", name, partial(ours.cut_at_all_levels, model)) for name, model in ZOO.items())
    if "strict" in parts:
        yield from (("strict", name, partial(ours.cut_strictly, model)) for name, model in ZOO.items())
    if "others" in parts:
        yield from (("others", name, partial(ours.cut_at_all_levels, model)) for name, model in OTHERS.items())
    if "onnx" in parts:
        yield from (("onnx", name, partial(speed.measure, model)) for name, model in ZOO.items())
    if "families" in parts:
        yield from (("families", name, partial(speed.measure_families, ZOO[name])) for name in BY_FAMILY)
    if "peer" in parts:
        for ratio in RATIOS:
            for mode in peer.MODES:
                yield from ((f"peer {mode} {ratio:.0%}", name, partial(peer.prune, name, mode, ratio)) for name in ZOO)


def hopeless(work: str, name: str, journal: Journal) -> dict[str, Any] | None:
    """The result of the same mode at half the channels, if it already tells that of other ratios."""
    kind, _, rest = work.partition(" ")
    if kind != "peer" or rest.endswith("50%"):
        return None
    half = journal.latest().get((f"peer {rest.partition(' ')[0]} 50%", name))
    return half["result"] if half and half["result"]["verdict"] in ("TIMEOUT", "TRACE", "NO-HINT") else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--only", action="append", choices=PARTS)
    parser.add_argument("--limit", type=int, default=150)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    journal, engine = Journal(options.journal), engine_digest()
    done = journal.latest()
    for work, name, call in planned(options.only or list(PARTS)):
        if options.names and not any(part in name for part in options.names):
            continue
        made_by = "" if work.startswith("peer") else engine
        if (work, name) in done and done[work, name]["engine"] == made_by:
            continue
        begun = time.monotonic()
        result = hopeless(work, name, journal) or isolated(call, cpu_seconds=options.limit)
        journal.add({"work": work, "architecture": name, "engine": made_by, "result": result})
        said = f"{work:18s} {name:26s} {result['verdict']:8s} {time.monotonic() - begun:5.0f} s"
        print(said, result.get("error", "")[-160:].replace("\n", " "), flush=True)
    if options.out:
        tables.write(journal, options.out, limit=options.limit)


if __name__ == "__main__":
    main()
