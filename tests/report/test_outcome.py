"""The outcome record: what its document says, and which documents are refused."""

import dataclasses
import json
import math

import pytest

from condensa_core.errors import UsageError
from condensa_core.report import Outcome, read_outcome


def test_the_document_opens_with_what_ci_reads(outcome):
    document = outcome.to_json()

    assert list(document)[:4] == ["schema", "status", "exit_code", "reasons"]
    assert document["schema"] == "condensa.result/1"
    assert (document["status"], document["exit_code"]) == ("gate-failed", 1)


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("infeasible", 1), ("gate-failed", 1), ("failed", 4)])
def test_the_exit_code_follows_from_the_status(outcome, status, code):
    assert dataclasses.replace(outcome, status=status).exit_code == code


def test_a_figure_that_is_not_finite_is_written_as_unknown(outcome):
    best = dataclasses.replace(outcome.best, objective=math.inf, knobs={"sparsity": math.nan})

    document = dataclasses.replace(outcome, best=best).to_json()

    assert document["best"]["objective"] is None
    assert document["best"]["knobs"] == {"sparsity": None}


def test_the_record_comes_back_equal(outcome):
    assert Outcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome


def test_keys_of_a_newer_version_are_ignored(outcome):
    document = outcome.to_json() | {"added_later": 1}
    document["best"] = document["best"] | {"also_later": {}}

    assert Outcome.from_json(document) == outcome


def test_a_document_of_another_schema_is_refused(outcome):
    with pytest.raises(UsageError, match=r"condensa\.result/1"):
        Outcome.from_json(outcome.to_json() | {"schema": "condensa.result/2"})


def test_a_damaged_document_is_refused_with_the_place(outcome):
    document = outcome.to_json() | {"trainings_used": "many"}

    with pytest.raises(UsageError, match="trainings_used"):
        Outcome.from_json(document)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\ud800"])
def test_a_file_that_is_no_result_is_refused(tmp_path, text):
    file = tmp_path / "result.json"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")

    with pytest.raises(UsageError, match="result"):
        read_outcome(file)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_outcome(tmp_path / "result.json")
