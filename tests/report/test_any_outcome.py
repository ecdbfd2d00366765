"""Whatever an outcome holds, its document, verdict, tables and JUnit file can be made and say no more than it holds."""

import json
from xml.etree import ElementTree

import jsonschema
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.bench import describe_machine
from condensa_core.errors import (
    CondensaError,
    Interrupted,
    MissingRuntime,
    Place,
    Problem,
    RecipeError,
    RunFailed,
    UsageError,
)
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
    Unfinished,
    junit_xml,
    tables,
    verdict,
)
from condensa_core.report.ending import Ending, document_of, ending_of, ending_of_bug
from condensa_core.report.result_schema import result_schema

numbers = st.none() | st.floats()
counts = st.none() | st.integers(0, 2**60)
texts = st.text(max_size=12)
figures = st.builds(Figure, value=numbers, stderr=numbers, count=counts)
split_figures = st.dictionaries(st.sampled_from(["val", "test"]), st.dictionaries(texts, figures, max_size=2))
knobs = st.dictionaries(texts, st.none() | st.booleans() | st.integers() | st.floats() | texts, max_size=3)
met = st.none() | st.booleans()
finite = st.floats(allow_nan=False, allow_infinity=False)
whole = st.integers(0, 2**60)
quantiles = st.fixed_dictionaries(
    {"min": finite, "mean": finite, "p50": finite, "variation": finite, "count": whole}
    | dict.fromkeys(("p90", "p95", "p99"), st.none() | finite)
)
measurements = st.just({}) | st.fixed_dictionaries(
    dict.fromkeys(("name", "file", "runtime", "provider"), texts)
    | dict.fromkeys(("size_bytes", "rounds", "runs"), whole)
    | dict.fromkeys(("throughput_per_s", "noise", "load_s", "first_inference_s"), finite)
    | dict.fromkeys(("cpu_time", "noisy"), st.booleans())
    | dict.fromkeys(("latency_s", "latency_wall_s"), quantiles)
    | {
        "clock": st.sampled_from(["processor", "wall", "device"]),
        "round_wall_s": st.lists(finite, max_size=2),
        "transfers": st.none() | st.fixed_dictionaries({"upload_s": finite, "download_s": finite}),
    }
)
parities = st.just({}) | st.fixed_dictionaries(
    dict.fromkeys(("max_abs", "max_rel", "cosine", "tolerance"), finite)
    | {"top1_agreement": st.none() | finite, "count": whole, "finite": st.booleans()}
)
machines = st.sampled_from([{}, {**describe_machine().to_json(), "fingerprint": "f"}])
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
    reference=st.builds(ReferenceResult, split_figures, numbers, measurements, **sizes_of),
    best=st.none()
    | st.builds(
        BestResult,
        trial=st.integers(0, 99),
        knobs=knobs,
        metrics=split_figures,
        agreement=st.dictionaries(st.sampled_from(["val", "test"]), figures),
        objective=numbers,
        ratio=st.none() | st.builds(RatioInterval, numbers, numbers, numbers),
        measurement=measurements,
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
    parity=parities,
    integers=st.none()
    | st.builds(IntegersResult, names, names, texts, texts, st.booleans(), differences, differences, ratios),
    machine=machines,
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


schema = jsonschema.Draft202012Validator(result_schema())
problems = st.builds(
    Problem,
    code=st.sampled_from(["E101", "W301"]),
    message=texts,
    place=st.builds(Place, texts, st.integers(1, 99), st.integers(1, 99), texts, st.integers(1, 9)),
    help=names,
    key_path=st.lists(texts | st.integers(0, 9), max_size=2).map(tuple),
)


@st.composite
def any_ending(draw):
    """Whatever can leave a command but its result."""
    command = st.none() | texts
    if draw(st.booleans()):
        return ending_of_bug(ValueError(draw(texts)), run_dir=draw(command), continue_with=draw(command))
    kind = draw(st.sampled_from([UsageError, MissingRuntime, RunFailed, Interrupted, RecipeError]))
    if kind is RecipeError:
        error: CondensaError = RecipeError(draw(st.lists(problems, max_size=2)))
    else:
        error = kind(draw(texts), hint=draw(command))
    error.run_dir, error.continue_with = draw(command), draw(command)
    return ending_of(error)


def test_the_published_schema_is_closed_all_the_way_down():
    jsonschema.Draft202012Validator.check_schema(schema.schema)

    records = list(_records(schema.schema))
    assert len(records) > 20
    for record in records:
        assert record["additionalProperties"] is False and record["required"] == list(record["properties"])
    for definition in schema.schema["$defs"].values():
        assert definition["description"]


def _records(part):
    """Every object of named keys in a schema."""
    if isinstance(part, dict):
        if part.get("type") == "object" and "properties" in part:
            yield part
        yield from (found for kept in part.values() for found in _records(kept))
    elif isinstance(part, list):
        yield from (found for kept in part for found in _records(kept))


@given(any_outcome, st.data())
def test_every_outcome_is_as_published(outcome, data):
    _require_published(json.loads(json.dumps(outcome.to_json(), allow_nan=False)), data)


@given(any_ending(), st.data())
def test_every_other_ending_is_as_published_and_comes_back_the_same(ending, data):
    document = json.loads(document_of(ending))

    _require_published(document, data)
    assert Ending.from_json(document) == ending


@given(st.none() | any_ending(), st.data())
def test_an_unfinished_run_is_as_published(ending, data):
    told = Unfinished("unfinished", 4, ("r",), "runs/x", None, (TrialResult(0, training_cost=TrainingCost()),))
    if ending is not None:
        told = Unfinished(ending.status, ending.exit_code, ending.reasons, "runs/x", "c")

    _require_published(json.loads(json.dumps(told.to_json(), allow_nan=False)), data)


def _require_published(document, data):
    """The document is valid, and is not with a key more or less, or with a status that is not that of its code."""
    schema.validate(document)
    missing = data.draw(st.sampled_from(sorted(document)))
    assert not schema.is_valid({k: v for k, v in document.items() if k != missing})
    changed = data.draw(st.sampled_from([{"colour": "red"}, {"exit_code": 5}, {"status": "done"}]))
    assert not schema.is_valid(document | changed)


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
    assert (outcome.best is not None) == (" L-C run" in text)
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
