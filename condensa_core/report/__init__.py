"""Says what was found: the outcome as data first, then one verdict, tables of text and JUnit XML."""

from condensa_core.report.junit import junit_xml
from condensa_core.report.outcome import (
    SCHEMA,
    Artifact,
    BestResult,
    ConstraintResult,
    DirectResult,
    Figure,
    GateResult,
    LayerChange,
    ObjectiveResult,
    Outcome,
    RatioInterval,
    ReferenceResult,
    SearchResult,
    Sizes,
    TrialResult,
    read_outcome,
)
from condensa_core.report.tables import Table, tables
from condensa_core.report.unfinished import finished_trials
from condensa_core.report.verdict import verdict

__all__ = [
    "SCHEMA",
    "Artifact",
    "BestResult",
    "ConstraintResult",
    "DirectResult",
    "Figure",
    "GateResult",
    "LayerChange",
    "ObjectiveResult",
    "Outcome",
    "RatioInterval",
    "ReferenceResult",
    "SearchResult",
    "Sizes",
    "Table",
    "TrialResult",
    "finished_trials",
    "junit_xml",
    "read_outcome",
    "tables",
    "verdict",
]
