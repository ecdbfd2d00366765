"""Says what was found: the outcome as data first, then one verdict, tables of text and JUnit XML."""

from condensa_core.report.ablation import ABLATION_SCHEMA, Ablation, Played
from condensa_core.report.junit import junit_xml
from condensa_core.report.line_chart import line_chart
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
    "ABLATION_SCHEMA",
    "SCHEMA",
    "Ablation",
    "Artifact",
    "BestResult",
    "ConstraintResult",
    "DirectResult",
    "Figure",
    "GateResult",
    "LayerChange",
    "ObjectiveResult",
    "Outcome",
    "Played",
    "RatioInterval",
    "ReferenceResult",
    "SearchResult",
    "Sizes",
    "Table",
    "TrialResult",
    "finished_trials",
    "junit_xml",
    "line_chart",
    "read_outcome",
    "tables",
    "verdict",
]
