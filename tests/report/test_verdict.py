"""The verdict names every figure a user decides by, in the units people read."""

import math
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.report import (
    Artifact,
    Difference,
    EngineResult,
    Figure,
    GateResult,
    IntegersResult,
    ObjectiveResult,
    Outcome,
    RatioInterval,
    TrainingCost,
    TrialResult,
    junit_xml,
    tables,
    verdict,
)
from condensa_core.report.quantities import (
    bytes_text,
    count_text,
    duration_text,
    figure_text,
    knobs_text,
    metric_text,
    quantity_text,
    ratio_text,
)


@pytest.mark.parametrize(
    "fact",
    [
        "digits-filters: done, but a gate does not hold",
        "val        top1 98.75 % ± 0.66 -> 97.14 % ± 0.99 (280 samples)",
        "test       top1 97.50 % ± 0.82 -> 96.94 % ± 0.91 (360 samples)",
        "predicts what the reference predicts on 98.57 %",
        "top1 max_drop 2pp: 97.14 % against the limit 96.75 %, met",
        "throughput 2.31x [2.25, 2.38] the reference's (1,105 per s -> 2,553 per s) on cpu",
        "6.00 MiB -> 1.00 MiB (6.00x smaller)",
        "61.2 M -> 5.10 M",
        "size at_most 2MiB: 1.00 MiB, met",
        "throughput at_least 3x: 2.31x, NOT met",
        "trial 4 (sparsity 0.7125), 5 L-C runs",
        "5 trainings, 2.4x the cost of training the reference, 1 min 01 s of processor time",
        "best/model.onnx (1.00 MiB)",
        "runs/digits-filters/20260102T030405Z-abc123",
    ],
)
def test_the_verdict_says(outcome, fact):
    assert fact in verdict(outcome)


def test_the_verdict_keeps_to_the_metric_that_was_bounded(outcome):
    assert "loss" in outcome.reference.metrics["val"]
    assert "loss" not in verdict(outcome)


def test_a_language_model_is_judged_on_tokens(outcome):
    figures = {"val": {"top1": Figure(0.5, 0.001, 1_234_567)}}
    judged = replace(outcome, counted="tokens", best=replace(outcome.best, metrics=figures))

    assert "-> 50.00 % ± 0.10 (1,234,567 tokens)\n" in verdict(judged)
    assert "samples" not in verdict(judged)


def test_a_verdict_without_a_result_gives_the_reasons():
    text = verdict(Outcome(status="failed", name="x", reasons=("loss is nan at step 3",)))

    assert text == "x: failed while running; what was finished is kept\n  reason     loss is nan at step 3"


@pytest.mark.parametrize(
    ("gates", "engine", "headline"),
    [
        (["met"], None, "everything the recipe declares holds"),
        (["met", "skipped"], None, "everything judged here holds; 1 gate skipped"),
        (
            ["skipped", "skipped"],
            EngineResult("rtx", path="best/model.engine"),
            "everything judged here holds; 2 gates",
        ),
        ([], EngineResult("rtx", problem="no TensorRT", skipped=True), "everything judged here holds; the engine"),
        (["skipped"], EngineResult("rtx", skipped=True), "everything judged here holds; 1 gate and the engine skipped"),
    ],
)
def test_what_was_skipped_is_not_said_to_hold(gates, engine, headline):
    results = tuple(GateResult(f"g{n}", met=True if g == "met" else None, reason="why") for n, g in enumerate(gates))
    found = Outcome(status="ok", name="x", gates=results, engine=engine)

    assert verdict(found).startswith(f"x: done: {headline}")
    kept = found.to_json()
    assert len(kept["skipped"]) == gates.count("skipped") + (engine is not None and engine.skipped)
    assert all(line.endswith((": why", f": {engine.problem if engine else ''}")) for line in kept["skipped"])
    assert Outcome.from_json(kept) == found


def test_direct_compression_is_shown_apart(outcome):
    (table,) = [table for table in tables(outcome) if table.title == "before and after"]

    assert table.columns == ("", "reference", "compressed", "direct compression")
    assert ("top1 (val)", "98.75 % ± 0.66", "97.14 % ± 0.99", "40.00 % ± 3.00") in table.rows


def test_integers_are_told_with_what_they_do_to_outputs(outcome):
    timed, unfused = Difference(0.0123, 0.99991, 0.9961, 512), Difference(0.0098, 0.99993, 0.998, 512)
    speed = RatioInterval(0.65, 0.64, 0.66)
    found = IntegersResult(("conv", "fc"), ("lstm",), timed=timed, unfused=unfused, speed=speed)
    rounded = replace(outcome, integers=found)

    text = verdict(rounded)
    (table,) = [table for table in tables(rounded) if "integers" in table.title]

    assert "2 layers compute in integers; in floating point: lstm" in text
    assert "within 1.23 % of the float file's largest, same class for 99.61 % (512 samples)" in text
    assert "0.65x [0.64, 0.66] the speed of the same model in floating point" in text
    assert ("largest difference to the largest output", "1.23 %", "0.98 %") in table.rows
    assert "integers" not in verdict(outcome) and not [t for t in tables(outcome) if "integers" in t.title]


def test_beside_integers_the_files_in_floating_point_are_named(outcome):
    names = ("model.onnx", "model.float.onnx", "weights.safetensors", "model.packed.onnx", "model.pt2")
    files = tuple(Artifact(f"best/{name}", 1024, "ab" * 32) for name in names)

    plain = verdict(replace(outcome, artifacts=files))
    rounded = verdict(replace(outcome, artifacts=files, integers=IntegersResult(("conv",), ())))

    line = "the same model in floating point is in model.float.onnx, weights.safetensors, model.pt2\n"
    assert line in rounded and "floating point" not in plain


@pytest.mark.parametrize(
    ("direction", "objectives", "told"),
    [
        ("minimize", (5000, 4188, 4500, 3000), "trial 1 (4.09 KiB)"),
        ("maximize", (4000, 4188, 4100, 9000), "trial 1 (4.09 KiB)"),
        ("minimize", (4100, 4188, 4500, 3000), None),
        ("maximize", (4188, 4188, 4100, 9000), None),
    ],
)
def test_the_best_trial_that_held_too_narrowly_is_told(outcome, direction, objectives, told):
    judged = ((True, 0.97), (True, 0.48), (True, 0.6), (False, 0.02))  # trial 3 breaks the bound
    trials = tuple(
        TrialResult(number, {}, "ok", 0.98, 0.008, float(objective), 2.0, holds, sure)
        for number, (objective, (holds, sure)) in enumerate(zip(objectives, judged, strict=True))
    )
    asked = ObjectiveResult(f"{direction} size.packed", "size.packed", direction, "", "bytes")
    found = replace(outcome, trials=trials, objective=asked, best=replace(outcome.best, trial=0))

    lines = [line for line in verdict(found).splitlines() if "not taken" in line]

    expected = [f"  not taken  {told} holds the bound by less than its noise: P(met) 0.48"] if told else []
    assert lines == expected
    assert "not taken" not in verdict(replace(found, status="infeasible"))  # its reason says it


def test_layers_show_what_was_removed(outcome):
    (table,) = [table for table in tables(outcome) if table.title == "layers"]

    assert table.rows == (("conv1", "32", "8", "75 %", "320", "80"),)


def test_the_cost_is_in_macs_where_the_reference_was_not_trained(outcome):
    cost = TrainingCost(9_600_000, 100, 61.0, None)
    untrained = replace(outcome, training_cost=cost, trials=(replace(outcome.trials[0], training_cost=cost),))

    (trials,) = [table for table in tables(untrained) if table.title.startswith("trials")]

    assert "5 trainings, 9.60 M MACs forward and back" in verdict(untrained)
    assert trials.rows[0][-1] == "9.60 M MACs"


def test_costs_add_up_to_unknown_multiples_where_one_is_unknown():
    assert TrainingCost(1, 2, 3.0, 0.5) + TrainingCost(10, 20, 30.0, 1.0) == TrainingCost(11, 22, 33.0, 1.5)
    assert (TrainingCost(1, 2, 3.0, 0.5) + TrainingCost(10, 20, 30.0, None)).references is None


def test_junit_has_one_case_per_bound(outcome):
    suite = ElementTree.fromstring(junit_xml(outcome))

    cases = {case.get("name"): [child.tag for child in case] for case in suite}

    assert cases == {
        "top1 max_drop 2pp": [],
        "size at_most 2MiB": [],
        "throughput at_least 3x": ["failure"],
    }


def test_junit_of_a_failed_run_has_an_error():
    suite = ElementTree.fromstring(junit_xml(Outcome(status="failed", name="x\x00", reasons=("no\x1bdisk",))))

    assert suite.get("name") == "condensa x?"
    assert suite.find("testcase/error").get("message") == "no?disk"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.98 KiB"),
        (1024, "1.00 KiB"),
        (6 * 2**20, "6.00 MiB"),
        (10 * 2**20, "10.0 MiB"),
        (5 * 2**40, "5120 GiB"),
    ],
)
def test_bytes(size, text):
    assert bytes_text(size) == text


@given(st.integers(0, 2**50))
def test_bytes_are_right_to_three_digits(size):
    number, unit = bytes_text(size).split()

    scale = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}[unit]
    assert float(number) * scale == pytest.approx(size, rel=0.006)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.00085, "850 us"), (0.0123, "12.3 ms"), (4.56, "4.56 s"), (125, "2 min 05 s"), (3725, "1 h 02 min")],
)
def test_durations(seconds, text):
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (2.5, "x", "2.50x"),
        (0.5, "fraction", "50.00 %"),
        (1e9, "MACs", "1.00 G MACs"),
        (12.0, "1/s", "12.0 per s"),
        (None, "s", "-"),
        (1024.0, "bytes", "1.00 KiB"),
    ],
)
def test_quantities(value, unit, text):
    assert quantity_text(value, unit) == text


def test_metrics_that_are_fractions_are_shown_in_percent_and_others_are_not():
    assert metric_text("top1", 0.5) == "50.00 %"
    assert metric_text("loss", 0.51234) == "0.5123"
    assert figure_text("loss", Figure(0.5, 0.011)) == "0.5 ± 0.011"
    assert figure_text("top1", Figure(None)) == "-"


def test_a_ratio_without_an_interval_claims_none():
    assert ratio_text(RatioInterval(2.0)) == "2.00x"
    assert ratio_text(None) == "-"
    assert count_text(None) == "-"


def test_numbers_that_are_not_finite_are_unknown():
    for value in (math.nan, math.inf, -math.inf):
        assert {quantity_text(value, unit) for unit in ("bytes", "x", "s", "fraction", "1/s", "MACs")} == {"-"}
        assert (metric_text("top1", value), count_text(value), duration_text(value)) == ("-", "-", "-")
        assert figure_text("top1", Figure(0.5, value)) == "50.00 %"
        assert ratio_text(RatioInterval(2.0, value, 3.0)) == "2.00x"
        assert knobs_text({"sparsity": value}) == "sparsity -"


def test_notes_are_told_one_a_line(outcome):
    text = verdict(replace(outcome, notes=("the gain lies inside\nits noise", "second")))

    assert "\n  note       the gain lies inside its noise\n  note       second\n" in text


@pytest.mark.parametrize(
    ("best", "met", "headline"),
    [
        (True, False, "done, but no candidate met the constraint; the best effort is kept"),
        (True, True, "done, but no candidate could be shipped with confidence; the best effort is kept"),
        (False, None, "done, but no candidate could be shipped with confidence"),
    ],
)
def test_an_infeasible_run_says_what_was_missing(outcome, best, met, headline):
    judged = replace(outcome.constraint, met=met)
    infeasible = replace(outcome, status="infeasible", constraint=judged, best=outcome.best if best else None)

    assert verdict(infeasible).splitlines()[0] == f"digits-filters: {headline}"


def test_junit_of_a_run_that_held_every_bound_and_did_not_ship_is_red(outcome):
    unsure = replace(outcome, status="infeasible", gates=(), reasons=("the interval contains the limit",))

    suite = ElementTree.fromstring(junit_xml(unsure))

    (case,) = [case for case in suite if case.get("name") == "run"]
    assert case.find("failure").get("message") == "the interval contains the limit"
    assert suite.get("failures") == "1"
