"""A small run, the folders it lives in, and what two runs must have in common to have come to the same end."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from condensa_core.report import read_outcome
from condensa_core.search import read_journal

ROOT: Final = Path(__file__).parents[2]
SMALL: Final = """\
condensa: 1
name: digits
seed: 3
model: {builtin: small-cnn, args: {width: 8, depth: 1, stages: 2}}
data: {builtin: digits, batch: 32}
reference: {train: {epochs: 4}}
layers:
  - {match: all, scheme: {filter: {sparsity: $s}}}
knobs: {s: {range: [0.0, 0.9]}}
compress: {steps: 3, l_step: {iterations: 20}, finetune: {epochs: 1}}
constraint: {metric: top1, max_drop: 10pp}
objective: {minimize: macs}
search: {trials: 4}
output: {export: [onnx]}
"""
# The order of trials on a grid is no question of when they end, so two at once come to the same end.
PARALLEL: Final = (
    SMALL.replace("name: digits", "name: parallel")
    .replace("range: [0.0, 0.9]", "choices: [0.0, 0.4, 0.6, 0.8]")
    .replace("search: {trials: 4}", "search: {method: grid, trials: 4, parallel: 2}")
)
# The shipped recipes. Two runs that measure speed are not alike, so the objective is counted instead.
FILTERS: Final = (ROOT / "recipes" / "digits-filters.yaml").read_text().replace(
    "objective: {maximize: throughput}", "objective: {minimize: macs}"
)  # fmt: skip
PARETO: Final = (ROOT / "recipes" / "digits-pareto.yaml").read_text()
# Times and load differ from run to run, and work that a kill undid is paid twice; where a run lies is no result.
_NOT_COMPARED: Final = ("measurement", "seconds", "training_cost", "timings_s", "run_dir", "machine")
# Files in the making: ours, those that safetensors makes on the way, states of L steps of trials that have ended.
_TEMPORARY: Final = (".partial*", ".tmp*", "lc-*")


@dataclass(frozen=True)
class Scene:
    """Folders of one case: runs and cache under `disk`, an older run and a reference in them; the recipe beside."""

    folder: Path
    disk: Path
    recipe: str = SMALL

    @classmethod
    def laid(cls, folder: Path, older: Path, disk: Path | None = None, recipe: str = SMALL) -> Scene:
        """A fresh scene in `folder`; `older` is a disk whose runs and cache were there before."""
        shutil.rmtree(folder, ignore_errors=True)
        scene = cls(folder, disk or folder / "disk", recipe)
        folder.mkdir(parents=True)
        (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")
        shutil.copytree(older, scene.disk, dirs_exist_ok=True)
        return scene

    @property
    def environment(self) -> dict[str, str]:
        return {"CONDENSA_CACHE": str(self.disk / "cache"), "OMP_NUM_THREADS": "1", "TMPDIR": str(self.folder)}

    @property
    def run(self) -> list[str]:
        return ["run", str(self.folder / "recipe.yaml"), "--out", str(self.disk / "runs")]

    def directories(self) -> list[Path]:
        """The run directories of this recipe, oldest first; that of the older run has another name."""
        (name,) = re.findall("^name: (.*)$", self.recipe, re.MULTILINE)
        return sorted((self.disk / "runs" / name).glob("*"))

    def resumable(self) -> Path | None:
        """The newest directory that a run got far enough in to be continued."""
        return next((d for d in reversed(self.directories()) if (d / "manifest.json").is_file()), None)


def finished_trials(directory: Path) -> list[Any]:
    """What the journal says of finished trials, without times; none before there is a journal."""
    journal = directory / "trials.jsonl"
    if not journal.is_file() or not journal.read_bytes().count(b"\n"):
        return []
    return [
        _compared({k: v for k, v in entry.payload.items() if k not in ("wall_s", "waited_s")})
        for entry in read_journal(journal)[1]
        if entry.kind == "trial-ended"
    ]


def told_finished(directory: Path) -> tuple[set[int], int]:
    """The trials that run.log says have ended, and how often it says that one of them was begun again."""
    log = directory / "run.log"
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    ended: set[int] = set()
    again = 0
    for event, number in re.findall(r"Trial(Started|Ended)\(number=(\d+)", text):
        if event == "Ended":
            ended.add(int(number))
        else:
            again += int(number) in ended
    return ended, again


def end_of(directory: Path) -> dict[str, Any]:
    """All of a finished run that must not depend on what happened to it on the way, trials in the order of numbers."""
    files = [*directory.glob("best/*"), *directory.glob("trials/*/*.onnx"), *directory.glob("trials/*/*.safetensors")]
    read_outcome(directory / "result.json")
    return {
        "trials": sorted(finished_trials(directory), key=lambda trial: trial["number"]),
        "result": _compared(json.loads((directory / "result.json").read_text(encoding="utf-8"))),
        "files": {str(file.relative_to(directory)): _sha256(file) for file in sorted(files)},
        "left over": sorted(str(file.relative_to(directory)) for p in _TEMPORARY for file in directory.rglob(p)),
    }


def contents(folder: Path) -> dict[str, str]:
    """The hash of every file under `folder`, but locks."""
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != ".lock")
    return {str(file.relative_to(folder)): _sha256(file) for file in files}


def _compared(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _compared(kept) for key, kept in value.items() if key not in _NOT_COMPARED}
    return [_compared(kept) for kept in value] if isinstance(value, list | tuple) else value


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
