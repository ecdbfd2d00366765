"""Whatever an outcome holds, its document, verdict, tables and JUnit file can be made and say no more than it holds."""

import json
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from condensa_core.report import (
    Artifact,
    BestResult,
    ConstraintResult,
    Difference,
    DirectResult,
    Figure,
    FrontMember,
    GateResult,
    IntegersResult,
    KnobReading,
    LayerChange,
    ObjectiveResult,
    Outcome,
    RatioInterval,
    ReferenceResult,
    SearchResult,
    Sizes,
    TrainingCost,
    TrialResult,
    junit_xml,
    tables,
    verdict,
)

numbers = st.none() | st.floats()
counts = st.none() | st.integers(0, 2**60)
texts = st.text(max_size=12)
figures = st.builds(Figure, value=numbers, stderr=numbers, count=counts)
split_figures = st.dictionaries(st.sampled_from(["val", "test"]), st.dictionaries(texts, figures, max_size=2))
knobs = st.dictionaries(texts, st.none() | st.booleans() | st.integers() | st.floats() | texts, max_size=3)
met = st.none() | st.booleans()
loose = st.dictionaries(texts, numbers | texts | st.lists(numbers, max_size=2), max_size=2)
sizes_of = {"bytes": counts, "macs": counts, "parameters": counts}
layers = st.builds(LayerChange, texts, st.integers(0, 9), st.integers(0, 9), counts, counts)
ratios = st.none() | st.builds(RatioInterval, numbers, numbers, numbers)
differences = st.builds(Difference, numbers, numbers, numbers, counts)
names = st.lists(texts, max_size=3).map(tuple)

costs = st.none() | st.builds(
    TrainingCost, st.integers(0, 2**60), st.integers(0, 2**60), st.floats(0, 1e9), st.none() | st.floats(0, 1e6)
)
any_outcome = st.builds(
    Outcome,
    status=st.sampled_from(["ok", "infeasible", "gate-failed", "failed"]),
    name=texts,
    reasons=st.lists(texts, max_size=2).map(tuple),
    run_dir=texts,
    recipe_hash=texts,
    seed=st.integers(0, 2**40),
    reference=st.builds(ReferenceResult, split_figures, numbers, loose, **sizes_of),
    best=st.none()
    | st.builds(
        BestResult,
        trial=st.integers(0, 99),
        knobs=knobs,
        metrics=split_figures,
        agreement=st.dictionaries(st.sampled_from(["val", "test"]), figures),
        objective=numbers,
        ratio=st.none() | st.builds(RatioInterval, numbers, numbers, numbers),
        measurement=loose,
        layers=st.lists(layers, max_size=2).map(tuple),
        **sizes_of,
    ),
    direct=st.none() | st.builds(DirectResult, split_figures),
    constraint=st.none() | st.builds(ConstraintResult, texts, texts, numbers, numbers, met),
    objective=st.none()
    | st.builds(
        ObjectiveResult,
        text=texts,
        name=texts,
        direction=st.sampled_from(["maximize", "minimize"]),
        target=texts,
        unit=st.sampled_from(["", "1/s", "s", "bytes", "x", "fraction", "MACs"]),
    ),
    gates=st.lists(
        st.builds(
            GateResult, texts, numbers, numbers, met, st.sampled_from(["", "x", "bytes", "s", "1/s", "fraction"])
        ),
        max_size=2,
    ).map(tuple),
    trials=st.lists(
        st.builds(
            TrialResult,
            st.integers(0, 99),
            knobs,
            texts,
            numbers,
            numbers,
            numbers,
            numbers,
            met,
            numbers,
            texts,
            costs,
        ),
        max_size=3,
    ).map(tuple),
    trainings_used=st.integers(0, 99),
    training_cost=costs,
    search=st.none() | st.builds(SearchResult, texts, st.none() | st.tuples(numbers, numbers), numbers, texts),
    sensitivity=st.lists(st.builds(KnobReading, texts, st.floats(0, 1) | texts, st.floats(0, 1)), max_size=2).map(
        tuple
    ),
    front=st.lists(
        st.builds(
            FrontMember,
            trial=st.integers(0, 99),
            folder=texts,
            bytes=st.integers(0, 2**50),
            sha256=texts,
            knobs=knobs,
            metrics=split_figures,
            objective=numbers,
            ratio=st.none() | st.builds(RatioInterval, numbers, numbers, numbers),
        ),
        max_size=2,
    ).map(tuple),
    artifacts=st.lists(st.builds(Artifact, texts, st.integers(0, 2**50), texts), max_size=2).map(tuple),
    sizes=st.builds(Sizes, counts, counts, counts, numbers),
    parity=loose,
    integers=st.none()
    | st.builds(IntegersResult, names, names, texts, texts, st.booleans(), differences, differences, ratios),
    machine=loose,
    versions=st.dictionaries(texts, texts, max_size=2),
    timings_s=st.dictionaries(texts, st.floats(allow_nan=False, allow_infinity=False), max_size=2),
    notes=st.lists(texts, max_size=2).map(tuple),
)


@given(any_outcome)
def test_the_document_survives_strict_json_and_comes_back_the_same(outcome):
    text = json.dumps(outcome.to_json(), allow_nan=False)

    again = Outcome.from_json(json.loads(text))

    assert again.to_json() == outcome.to_json()
    assert again.exit_code == outcome.exit_code == json.loads(text)["exit_code"]


@given(any_outcome)
def test_every_row_of_a_table_has_one_text_per_column(outcome):
    for table in tables(outcome):
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.columns)}
        assert all(isinstance(cell, str) for row in table.rows for cell in row)


@given(any_outcome)
def test_the_verdict_invents_nothing(outcome):
    text = verdict(outcome)

    assert text.splitlines()
    assert (outcome.best is not None) == ("L-C runs" in text)
    assert len([line for line in text.splitlines() if line.startswith("  note ")]) >= len(outcome.notes)


@given(any_outcome)
def test_junit_is_xml_and_counts_its_cases(outcome):
    suite = ElementTree.fromstring(junit_xml(outcome))

    judged = [*outcome.gates, *([outcome.constraint] if outcome.constraint else [])]
    missed = sum(bound.met is False for bound in judged)
    unexplained = outcome.exit_code == 1 and not missed
    assert int(suite.get("failures")) == missed + unexplained
    assert int(suite.get("skipped")) == sum(bound.met is None for bound in judged)
    assert int(suite.get("errors")) == (outcome.status == "failed")
    assert (
        int(suite.get("tests"))
        == len(suite.findall("testcase"))
        == len(judged) + (outcome.status == "failed") + unexplained
    )
    assert (outcome.exit_code != 0) <= bool(suite.findall("testcase/failure") + suite.findall("testcase/error"))
