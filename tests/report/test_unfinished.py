"""What a journal without a result tells of its trials."""

import os

import pytest

from condensa_core.errors import UsageError
from condensa_core.report import TrialResult, finished_trials, how_far
from condensa_core.run_directory import RunDirectory
from condensa_core.search import Journal
from condensa_core.search.observation import Observation, Reading


@pytest.fixture
def journal(tmp_path):
    """As a search writes it: two finished trials, one begun, and a line the process died in."""
    path = tmp_path / "trials.jsonl"
    with Journal(path, "abc") as file:
        for number, reading in enumerate((Reading(0.9, 0.01, 2.5), None)):
            point = {"sparsity": 0.25 * (number + 1)}
            file.append("trial-started", {"number": number, "attempt": 0, "point": point})
            seen = Observation.of(point, reading) if reading else Observation.failed(point, "nan")
            file.append("trial-ended", {"number": number, "observation": seen.to_record(), "wall_s": 1.0})
        file.append("trial-started", {"number": 2, "attempt": 0, "point": {"sparsity": 0.6}})
    with path.open("a") as file:
        file.write('{"crc32":"0","rec')
    return path


def test_finished_trials_come_with_their_knobs_and_readings(journal):
    assert finished_trials(journal) == (
        TrialResult(0, {"sparsity": 0.25}, "ok", 0.9, 0.01, 2.5),
        TrialResult(1, {"sparsity": 0.5}, "failed", reason="nan"),
    )


@pytest.mark.parametrize(
    "junk", ["", "[]", "{}", "3", '{"record": []}', "[" * 10**5, '{"record":{"kind":"trial-ended"}}']
)
def test_lines_that_tell_nothing_are_passed_over(tmp_path, junk):
    path = tmp_path / "trials.jsonl"
    path.write_text(junk + "\n")

    assert finished_trials(path) == ()


def test_a_journal_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        finished_trials(tmp_path / "trials.jsonl")


def test_a_run_that_a_process_works_on_is_under_way(tmp_path):
    with RunDirectory.create(tmp_path, "run", "x") as directory:
        (meanwhile,) = how_far(directory.path, None).reasons
    (later,) = how_far(directory.path, None).reasons

    assert meanwhile.startswith(f"under way in process {os.getpid()}: 0 trials finished; ")
    assert later.startswith("unfinished: 0 trials finished; resume with: condensa resume ")
