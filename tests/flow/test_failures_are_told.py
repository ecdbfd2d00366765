"""A run whose trials fail ends with a paragraph that says what to do, and a log that says what happened."""

from __future__ import annotations

import pytest
from own_recipe import own_recipe

from condensa_core import flow
from condensa_core.errors import Diverged
from condensa_core.flow.trial import Evaluator
from condensa_core.report import verdict


def fails(self, trial, ledger):
    if trial.attempt == 0:
        raise MemoryError("cannot allocate 8 GiB")
    raise Diverged("the loss is nan at step 3", hint="lower compress.l_step.lr")


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """(outcome, run.log) of a run whose only trial has no memory at first, and then diverges."""
    folder = tmp_path_factory.mktemp("failing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Evaluator, "_read", fails)
        outcome = flow.run(own_recipe(folder), out=folder / "runs", cache_dir=folder / "cache")
    (log,) = (folder / "runs").rglob("run.log")
    return outcome, log.read_text()


def test_the_paragraph_says_why_what_to_do_and_where_to_look(failed):
    outcome, _ = failed

    text = verdict(outcome)

    assert outcome.exit_code == 4
    assert "the loss is nan at step 3; lower compress.l_step.lr" in text
    assert "run.log has the traceback of every attempt" in text and "start a new run" in text
    assert outcome.run_dir in text


@pytest.mark.parametrize(
    ("attempt", "error"), [(0, "MemoryError: cannot allocate 8 GiB"), (1, "Diverged: the loss is nan at step 3")]
)
def test_the_log_has_the_traceback_of_every_attempt(failed, attempt, error):
    _, log = failed

    entry = log.partition(f"trial 0, attempt {attempt} failed\n")[2].partition("\n20")[0]

    assert "Traceback (most recent call last):" in entry and "in fails" in entry
    assert error in entry
