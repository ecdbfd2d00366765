"""A finished run as it lies on the disk now: it may have been moved or copied, and files may be gone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from condensa_core.errors import ResumeError
from condensa_core.plain_file import path_below
from condensa_core.report.outcome import Outcome
from condensa_core.run_directory import file_sha256


def as_it_lies(outcome: Outcome, run_dir: Path) -> Outcome:
    """The outcome with the folder that it was read from, and a note on each artifact that is not what was written."""
    return replace(outcome, run_dir=str(run_dir), notes=(*outcome.notes, *lost_artifacts(outcome, run_dir)))


def lost_artifacts(outcome: Outcome, run_dir: Path) -> tuple[str, ...]:
    """`best/model.onnx is missing`, or that its hash is another, for each artifact that is not what was written.

    Nothing is read outside the run directory: what a result of a stranger names there is lost, too.
    """
    lost = []
    for artifact in outcome.artifacts:
        try:
            path = path_below(run_dir, artifact.path)
            now = file_sha256(path) if path.is_file() else None
        except ResumeError:
            lost.append(f"{artifact.path} leads out of the run directory")
            continue
        except OSError:  # it cannot be read, and so cannot be shipped either
            now = None
        if now is None:
            lost.append(f"{artifact.path} is missing")
        elif now != artifact.sha256:
            lost.append(f"{artifact.path} has changed: its hash was {artifact.sha256[:12]}, now it is {now[:12]}")
    return tuple(lost)
