"""Sharing a machine: who gets how many threads, and what is said of figures taken beside other work."""

import pytest
import torch

from condensa_core.flow import parallel
from condensa_core.search import Observation, Reading


@pytest.mark.parametrize(
    ("usable", "mine", "count", "each"), [(16, 16, 4, 4), (16, 2, 4, 2), (16, 8, 3, 5), (2, 2, 4, 1), (16, 16, 1, 16)]
)
def test_processes_share_the_cores_and_none_takes_more_than_this_one_may(monkeypatch, usable, mine, count, each):
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda process: set(range(usable)))
    monkeypatch.setattr(torch, "get_num_threads", lambda: mine)

    assert parallel.threads_of_each(count) == each


def trial(**details):
    return Observation.of({"s": 0.5}, Reading(0.9, details=details))


@pytest.mark.parametrize("alone", [[], [trial()], [trial(timed_beside=0)], [trial(timed_beside=None)]])
def test_nothing_is_said_of_trials_timed_alone_or_counted(alone):
    assert parallel.beside_notes([*alone, Observation.failed({"s": 0.7}, "NaN")]) == []


def test_trials_timed_beside_others_are_said_to_be():
    (note,) = parallel.beside_notes([trial(timed_beside=0), trial(timed_beside=3), trial(timed_beside=1)])

    assert "up to 3 others" in note and "what ships was timed alone" in note
