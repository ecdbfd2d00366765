"""Target: mutated run directories through `condensa report` and `condensa resume`, up to where work would begin.

The directories are of two real runs of a tiny recipe: one that ended, and one that was stopped in an L step. Resuming
binds the recipe again; as long as a case leaves the recipe alone, that is done once for all of them.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, Final

from byte_mutations import mutated_bytes
from commands import judged, verdict
from fuzzing import Target
from recipe_mutations import ROOT
from run_mutations import mutated_checkpoint, mutated_journal, mutated_json

from condensa_core.errors import CondensaError, Interrupted
from condensa_core.progress import Advanced, Event, OfTrial, PhaseStarted, TrialStarted

RECIPE: Final[dict[str, Any]] = {
    "condensa": 1,
    "name": "tiny",
    "seed": 3,
    "model": {"builtin": "small-cnn", "args": {"width": 8, "depth": 1, "stages": 2}},
    "data": {"builtin": "digits", "batch": 64},
    "reference": {"train": {"epochs": 20}},
    "layers": [{"match": "all", "scheme": {"filter": {"sparsity": "$s"}}}],
    "knobs": {"s": {"range": [0.0, 0.9]}},
    "compress": {"steps": 3, "l_step": {"iterations": 3}, "finetune": {"iterations": 3}},
    "constraint": {"metric": "top1", "max_drop": "3pp"},
    "objective": {"minimize": "macs"},
    "search": {"trials": 3, "short": {"share": 0.5, "trials": 2}},
    "output": {"export": ["onnx"]},
}
_LINKED: Final = (".onnx", ".pt2", ".safetensors", ".svg", ".html")  # replaced as a whole, so that a link may stand
_ALLOWED: Final = (0, 1, 2, 3, 4, 130)


def _prepare(folder: Path) -> None:
    """The two runs, in folder/finished and folder/stopped; and the recipe bound once."""
    os.environ |= {"NO_COLOR": "1", "CONDENSA_CACHE": str(folder / "cache")}
    warnings.simplefilter("ignore")  # as the installed command does not show them either
    from condensa_core import flow
    from condensa_core.recipe import recipe_from

    recipe = recipe_from(RECIPE)
    for name, listener in (("finished", lambda event: None), ("stopped", _Stopping())):
        if (folder / name).exists():
            continue
        with suppress(Interrupted):
            flow.run(recipe, out=folder / "made", listener=listener)
        (made,) = (folder / "made" / "tiny").iterdir()
        made.rename(folder / name)
    _bind_once(folder)
    flow.resume(_fresh(folder, "stopped"), listener=lambda event: None)


class _Stopping:
    """A listener that interrupts the run in an L step of its second trial."""

    def __init__(self) -> None:
        self.trials = 0

    def __call__(self, event: Event) -> None:
        self.trials += isinstance(event, TrialStarted)
        if self.trials == 2 and isinstance(event, Advanced) and event.phase == "learn" and event.done == 2:
            raise Interrupted("interrupted")


def _bind_once(folder: Path) -> None:
    """What a run makes of an unchanged recipe, kept: the model, its graph, the reference and its file."""
    from condensa_core.flow import running
    from condensa_core.recipe import resolved_yaml

    bound, trained, reference = running.bound, running.trained, running.judged_reference
    kept: dict[tuple[str, str], Any] = {}

    def once(name: str, recipe: Any, make: Callable[[], Any]) -> Any:
        key = name, resolved_yaml(recipe)
        if key not in kept:
            kept.clear() if len(kept) > 30 else None
            kept[key] = make()
        return kept[key]

    running.bound = lambda recipe, **rest: once("bound", recipe, lambda: bound(recipe, **rest))
    running.trained = lambda ready, **rest: once("trained", ready.recipe, lambda: trained(ready, **rest))
    running.judged_reference = lambda bench, directory, listener: once(
        "reference", bench.recipe, lambda: reference(bench, directory, listener)
    )


def _fresh(folder: Path, name: str) -> Path:
    """A copy of one of the runs to be changed."""
    there = folder / "work"
    shutil.rmtree(there, ignore_errors=True)
    shutil.copytree(folder / name, there, copy_function=_copied)
    return there


def _copied(source: str, target: str) -> None:
    if source.endswith(_LINKED):
        os.link(source, target)
    else:
        shutil.copyfile(source, target)


def _case(draw: random.Random, folder: Path) -> tuple[str, Callable[[], str]]:
    name = draw.choice(("finished", "stopped", "stopped"))
    there = _fresh(folder, name)
    if name == "finished":
        change = draw.choice((_result, _result, _result, _manifest, _journal))
        command = draw.choice((_report, _report, _report_html, _report_folder, _resume))
    else:
        change = draw.choice(
            (_journal, _journal, _journal, _short_journal, _manifest, _recipe, _checkpoint, _checkpoint)
        )
        command = (
            _continue
            if change in (_checkpoint, _short_journal)
            else draw.choice((_report, _report_folder, _continue, _continue))
        )
    what = change(there, draw)
    return f"{change.__name__.strip('_').replace('_', ' ')}: {what}", lambda: command(there)


def _changed(path: Path, mutated: tuple[str, bytes]) -> str:
    path.unlink(missing_ok=True)
    path.write_bytes(mutated[1])
    return mutated[0]


def _result(there: Path, draw: random.Random) -> str:
    return _changed(there / "result.json", mutated_json((there / "result.json").read_bytes(), draw))


def _manifest(there: Path, draw: random.Random) -> str:
    return _changed(there / "manifest.json", mutated_json((there / "manifest.json").read_bytes(), draw))


def _journal(there: Path, draw: random.Random) -> str:
    return _changed(there / "trials.jsonl", mutated_journal((there / "trials.jsonl").read_bytes(), draw))


def _short_journal(there: Path, draw: random.Random) -> str:
    return _changed(there / "short.jsonl", mutated_journal((there / "short.jsonl").read_bytes(), draw))


def _recipe(there: Path, draw: random.Random) -> str:
    texts = [
        (there / "resolved.yaml").read_bytes(),
        *(p.read_bytes() for p in sorted((ROOT / "recipes").glob("*.yaml"))),
    ]
    return _changed(there / "resolved.yaml", mutated_bytes(texts, draw))


def _checkpoint(there: Path, draw: random.Random) -> str:
    (path,) = (there / "trials").glob("*/lc-*.safetensors")
    return _changed(path, mutated_checkpoint(path.read_bytes(), draw))


def _report(there: Path) -> str:
    return "report " + judged(["report", str(there)], _ALLOWED)


def _report_html(there: Path) -> str:
    return "report --html " + judged(["report", str(there), "--html", str(there / "x.html"), "--json"], _ALLOWED)


def _report_folder(there: Path) -> str:
    return "report of runs " + judged(["report", str(there.parent)], _ALLOWED)


def _resume(there: Path) -> str:
    return "resume " + judged(["resume", str(there)], _ALLOWED)


def _continue(there: Path) -> str:
    """As `condensa resume`, with a listener that interrupts where training would go on."""
    from condensa_cli.problems import drawn_error

    from condensa_core import flow

    def listener(event: Event) -> None:
        inner = event.event if isinstance(event, OfTrial) else event
        if isinstance(inner, Advanced) or (isinstance(inner, PhaseStarted) and inner.phase != "learn"):
            raise Interrupted("interrupted where work would begin")

    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        try:
            flow.resume(there, listener=listener)
        except CondensaError as err:
            return "resume " + verdict(err.exit_code, out.getvalue(), drawn_error(err).plain, _ALLOWED)
    return "resume 0"


RUNS: Final = Target(
    "runs",
    "condensa report, condensa resume",
    10_000,
    limit_s=60.0,
    memory_bytes=8 * 2**30,
    prepare=_prepare,
    case=_case,
)
