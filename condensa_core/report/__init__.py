"""Says what was found: the outcome as data first, then one verdict, tables of text and JUnit XML."""

from condensa_core.report.ablation import ABLATION_SCHEMA, Ablation, Played
from condensa_core.report.evidence import ShortRun, ShortRunsResult, WarmStartResult
from condensa_core.report.front import front_chart
from condensa_core.report.html import Picture, html_report, pictures_of, write_html_report
from condensa_core.report.integers import Difference, IntegersResult
from condensa_core.report.junit import junit_xml
from condensa_core.report.line_chart import line_chart
from condensa_core.report.model_input import ModelInput
from condensa_core.report.outcome import (
    SCHEMA,
    Artifact,
    BestResult,
    BisectionResult,
    BoundOnTest,
    ConstraintResult,
    DirectResult,
    Figure,
    FrontMember,
    GateResult,
    KnobReading,
    LayerChange,
    ObjectiveResult,
    Outcome,
    ReferenceResult,
    SearchResult,
    Sizes,
    TrialResult,
    read_outcome,
)
from condensa_core.report.posterior_chart import posterior_chart
from condensa_core.report.ratio import RatioInterval
from condensa_core.report.runs import RunSummary, is_run, runs_table, runs_under
from condensa_core.report.scatter import Axis, Dot, scatter
from condensa_core.report.tables import Table, tables
from condensa_core.report.training_cost import TrainingCost
from condensa_core.report.unfinished import finished_trials
from condensa_core.report.verdict import verdict

__all__ = [
    "ABLATION_SCHEMA",
    "SCHEMA",
    "Ablation",
    "Artifact",
    "Axis",
    "BestResult",
    "BisectionResult",
    "BoundOnTest",
    "ConstraintResult",
    "Difference",
    "DirectResult",
    "Dot",
    "Figure",
    "FrontMember",
    "GateResult",
    "IntegersResult",
    "KnobReading",
    "LayerChange",
    "ModelInput",
    "ObjectiveResult",
    "Outcome",
    "Picture",
    "Played",
    "RatioInterval",
    "ReferenceResult",
    "RunSummary",
    "SearchResult",
    "ShortRun",
    "ShortRunsResult",
    "Sizes",
    "Table",
    "TrainingCost",
    "TrialResult",
    "WarmStartResult",
    "finished_trials",
    "front_chart",
    "html_report",
    "is_run",
    "junit_xml",
    "line_chart",
    "pictures_of",
    "posterior_chart",
    "read_outcome",
    "runs_table",
    "runs_under",
    "scatter",
    "tables",
    "verdict",
    "write_html_report",
]
