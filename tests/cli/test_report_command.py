"""`report` shows a run again, exits as it did, and says how to go on with one that has not finished."""

import hashlib
import json
from dataclasses import replace

import pytest

from condensa_core.report import (
    Artifact,
    BestResult,
    ConstraintResult,
    Figure,
    Outcome,
    RatioInterval,
    ReferenceResult,
    TrialResult,
)
from condensa_core.report.ending import Ending, document_of

BOUND = ConstraintResult("top1 max_drop 2pp", "top1", 0.975, 0.97, False)

JOURNAL = """\
{"crc32":"0","record":{"format":1,"fingerprint":"x"}}
{"crc32":"0","record":{"kind":"check","payload":{"folder":"."}}}
{"crc32":"0","record":{"kind":"trial-ended","payload":{"number":0,"observation":{"point":{"sparsity":0.5},\
"status":"ok","metric":0.9444,"sd":0.01,"objective":null,"details":{},"failure":""},"wall_s":1.0}}}
{"crc32":"0","record":{"kind":"trial-ended","payload":{"number":1,"observation":{"point":{"sparsity":0.75},\
"status":"failed","metric":null,"sd":null,"objective":null,"details":{},"failure":"loss is nan"},"wall_s":1.0}}}
{"crc32":"0","rec"""


MODEL = b"a model"


@pytest.fixture
def run_dir(tmp_path):
    folder = tmp_path / "runs" / "digits" / "1"
    (folder / "best").mkdir(parents=True)
    (folder / "best" / "model.onnx").write_bytes(MODEL)
    return folder


def outcome(run_dir, status="ok"):
    return Outcome(
        status=status,
        name="digits",
        run_dir=str(run_dir),
        reference=ReferenceResult(metrics={"test": {"top1": Figure(0.98, 0.01, 100)}}, bytes=2048),
        best=BestResult(
            trial=2,
            metrics={"test": {"top1": Figure(0.97, 0.01, 100)}},
            ratio=RatioInterval(2.5, 2.4, 2.6),
            bytes=1024,
        ),
        trials=(TrialResult(2, {"sparsity": 0.5}),),
        artifacts=(Artifact("best/model.onnx", len(MODEL), hashlib.sha256(MODEL).hexdigest()),),
    )


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("infeasible", 1), ("gate-failed", 1), ("failed", 4)])
def test_it_exits_as_the_run_did(condensa, run_dir, status, code):
    (run_dir / "result.json").write_text(json.dumps(outcome(run_dir, status).to_json()))

    answer = condensa("report", run_dir)

    assert answer.code == code
    assert "98.00 % ± 1.00 -> 97.00 % ± 1.00 (100 samples)" in answer.out
    assert str(run_dir) in answer.out


def test_json_is_the_document_of_the_run(condensa, run_dir):
    document = outcome(run_dir).to_json()
    (run_dir / "result.json").write_text(json.dumps(document))

    assert json.loads(condensa("report", "--json", run_dir).out) == document


@pytest.mark.parametrize(("now", "told"), [(None, "is missing"), (b"another", "has changed: its hash was ")])
def test_an_artifact_that_is_not_what_was_written_is_told(condensa, run_dir, now, told):
    (run_dir / "result.json").write_text(json.dumps(outcome(run_dir).to_json()))
    file = run_dir / "best" / "model.onnx"
    file.unlink() if now is None else file.write_bytes(now)

    answer = condensa("report", "--json", run_dir)

    assert f"warning: best/model.onnx {told}" in answer.err
    assert f"condensa resume {run_dir} writes" in answer.err
    (note,) = json.loads(answer.out)["notes"]
    assert note.startswith(f"best/model.onnx {told}")


def test_a_run_that_was_copied_says_where_it_is(condensa, run_dir):
    (run_dir / "result.json").write_text(json.dumps(outcome("elsewhere").to_json()))

    assert str(run_dir) in condensa("report", run_dir).out
    assert json.loads(condensa("report", "--json", run_dir).out)["run_dir"] == str(run_dir)


def test_tables_come_before_the_verdict(condensa, run_dir):
    (run_dir / "result.json").write_text(json.dumps(outcome(run_dir).to_json()))

    text = condensa("report", run_dir).out

    assert text.index("trials (* ships)") < text.index("best/model.onnx") < text.index("digits: done")


def test_an_unfinished_run_says_how_to_continue(condensa, run_dir):
    (run_dir / "trials.jsonl").write_text(JOURNAL)

    answer = condensa("report", run_dir)

    assert answer.code == 4
    assert answer.out.splitlines() == [
        "trial 0: sparsity 0.5, metric 0.9444",
        "trial 1: sparsity 0.75, failed: loss is nan",
        f"unfinished: 2 trials finished; resume with: condensa resume {run_dir}",
    ]


def test_a_run_that_stopped_before_its_first_trial_says_how_to_continue(condensa, run_dir):
    (run_dir / "manifest.json").write_text("{}")

    answer = condensa("report", run_dir)

    assert answer.code == 4
    assert answer.out == f"unfinished: 0 trials finished; resume with: condensa resume {run_dir}\n"


def test_an_unfinished_run_as_json(condensa, run_dir):
    (run_dir / "trials.jsonl").write_text(JOURNAL)

    document = json.loads(condensa("report", "--json", run_dir).out)

    assert (document["status"], document["exit_code"]) == ("unfinished", 4)
    assert [(trial["number"], trial["knobs"], trial["metric"]) for trial in document["trials"]] == [
        (0, {"sparsity": 0.5}, 0.9444),
        (1, {"sparsity": 0.75}, None),
    ]
    assert document["reasons"]


INTERRUPTED = Ending("interrupted", 130, ("stopped",), "Interrupted", continue_with="rm -rf ~")
REFUSED = Ending("error", 2, ("w.safetensors holds no 'conv1.weight'",), "WorkloadError")


def test_an_interrupted_run_says_so_and_names_its_own_command(condensa, run_dir):
    (run_dir / "trials.jsonl").write_text(JOURNAL)
    (run_dir / "result.json").write_text(document_of(INTERRUPTED))

    answer, listed = condensa("report", run_dir), condensa("report", "runs")

    assert answer.code == 130
    assert answer.out.splitlines()[2:] == [
        "interrupted: stopped",
        f"unfinished: 2 trials finished; resume with: condensa resume {run_dir}",
    ]
    assert listed.out.splitlines()[1].split() == ["runs/digits/1", "interrupted", "2", "-", "-", "-"]


def test_a_refused_run_says_what_was_refused(condensa, run_dir):
    (run_dir / "result.json").write_text(document_of(REFUSED))

    answer = condensa("report", run_dir)
    document = json.loads(condensa("report", "--json", run_dir).out)

    assert answer.code == document["exit_code"] == 2
    assert answer.out.splitlines() == [f"error: {REFUSED.reasons[0]}", "not begun: 0 trials finished; start a new run"]
    assert (document["status"], document["continue_with"]) == ("error", None)
    assert document["reasons"] == answer.out.replace("error: ", "").splitlines()


@pytest.fixture
def runs(tmp_path, run_dir):
    """Three runs of two names in `runs`: one that ended, one that goes on, one whose result is half a file."""
    ended = replace(outcome(run_dir, "infeasible"), constraint=BOUND)
    (run_dir / "result.json").write_text(json.dumps(ended.to_json()))
    going = run_dir.with_name("2")
    going.mkdir()
    (going / "trials.jsonl").write_text(JOURNAL)
    torn = tmp_path / "runs" / "other" / "3"
    torn.mkdir(parents=True)
    (torn / "result.json").write_text("{")
    (tmp_path / "runs" / "other" / "notes").mkdir()  # nobody's run
    return tmp_path / "runs"


def test_a_folder_of_runs_is_listed_with_how_each_ended(condensa, runs):
    every, named = condensa("report", "runs"), condensa("report", "runs/digits")

    assert (every.code, named.code) == (0, 0)
    lines = [line.split() for line in every.out.splitlines()]
    assert lines == [
        ["run", "status", "trials", "metric", "ratio", "file"],
        ["runs/digits/1", "infeasible", "1", "top1", "97.00", "%", "2.50x", "1.00", "KiB"],
        ["runs/digits/2", "unfinished", "2", "-", "-", "-"],
        ["runs/other/3", "damaged", "0", "-", "-", "-"],
        ["condensa", "report", "runs/other/3", "tells", "more", "of", "a", "run"],
    ]
    assert named.out.splitlines()[1:3] == every.out.splitlines()[1:3]
    assert "other" not in named.out


def test_a_folder_of_runs_as_json(condensa, runs):
    document = json.loads(condensa("report", "runs", "--json").out)

    assert (document["schema"], document["status"], document["exit_code"]) == ("condensa.runs/1", "ok", 0)
    assert document["runs"][0] == {
        "path": "runs/digits/1", "status": "infeasible", "trials": 1, "metric": "top1", "value": 0.97, "ratio": 2.5,
        "bytes": 1024,
    }  # fmt: skip
    assert [run["status"] for run in document["runs"]] == ["infeasible", "unfinished", "damaged"]


@pytest.mark.parametrize("content", [None, "{", '{"schema": "other"}'])
def test_what_is_no_run_is_refused(condensa, run_dir, content):
    if content is not None:
        (run_dir / "result.json").write_text(content)

    answer = condensa("report", run_dir)

    assert answer.code == 2
    assert str(run_dir) in answer.err


def test_html_is_written_again_with_the_pictures_of_the_run(condensa, run_dir, tmp_path):
    (run_dir / "result.json").write_text(json.dumps(outcome(run_dir).to_json()))
    (run_dir / "search.svg").write_text("<svg/>")

    answer = condensa("report", run_dir, "--html", tmp_path / "new" / "page.html")

    page = (tmp_path / "new" / "page.html").read_text()
    assert answer.code == 0 and "digits: done" in answer.out
    assert "<h1>condensa: digits</h1>" in page and "data:image/svg+xml" in page


def test_there_is_no_html_of_an_unfinished_run(condensa, run_dir, tmp_path):
    (run_dir / "trials.jsonl").write_text(JOURNAL)

    answer = condensa("report", run_dir, "--html", tmp_path / "page.html")

    assert answer.code == 2 and "holds no result.json" in answer.err
    assert not (tmp_path / "page.html").exists()
