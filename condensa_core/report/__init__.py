"""Says what was found: the outcome as data first, then one verdict, tables of text and JUnit XML.

Parts load when they are first asked for, because front ends import this room to show their help. Functions with the
name of their file load at once: the file would hide them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from condensa_core.report.line_chart import line_chart
from condensa_core.report.posterior_chart import posterior_chart
from condensa_core.report.scatter import Axis, Dot, scatter
from condensa_core.report.tables import Table, tables
from condensa_core.report.verdict import verdict

if TYPE_CHECKING:
    from condensa_core.report.ablation import ABLATION_SCHEMA, Ablation, Played
    from condensa_core.report.ending import Ending, read_result
    from condensa_core.report.engine import EngineResult
    from condensa_core.report.evidence import ShortRun, ShortRunsResult, WarmStartResult
    from condensa_core.report.front import front_chart
    from condensa_core.report.html import Picture, html_report, pictures_of, write_html_report
    from condensa_core.report.integers import Difference, IntegersResult
    from condensa_core.report.junit import junit_xml
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
    from condensa_core.report.ratio import RatioInterval
    from condensa_core.report.runs import RunSummary, is_run, runs_table, runs_under
    from condensa_core.report.training_cost import TrainingCost
    from condensa_core.report.unfinished import Unfinished, finished_trials, how_far

_HOMES = {
    "ABLATION_SCHEMA": "ablation",
    "SCHEMA": "outcome",
    "Ablation": "ablation",
    "Artifact": "outcome",
    "BestResult": "outcome",
    "BisectionResult": "outcome",
    "BoundOnTest": "outcome",
    "ConstraintResult": "outcome",
    "Difference": "integers",
    "Ending": "ending",
    "EngineResult": "engine",
    "DirectResult": "outcome",
    "Figure": "outcome",
    "FrontMember": "outcome",
    "GateResult": "outcome",
    "IntegersResult": "integers",
    "KnobReading": "outcome",
    "LayerChange": "outcome",
    "ModelInput": "model_input",
    "ObjectiveResult": "outcome",
    "Outcome": "outcome",
    "Picture": "html",
    "Played": "ablation",
    "RatioInterval": "ratio",
    "ReferenceResult": "outcome",
    "RunSummary": "runs",
    "SearchResult": "outcome",
    "ShortRun": "evidence",
    "ShortRunsResult": "evidence",
    "Sizes": "outcome",
    "TrainingCost": "training_cost",
    "TrialResult": "outcome",
    "Unfinished": "unfinished",
    "WarmStartResult": "evidence",
    "finished_trials": "unfinished",
    "front_chart": "front",
    "how_far": "unfinished",
    "html_report": "html",
    "is_run": "runs",
    "junit_xml": "junit",
    "pictures_of": "html",
    "read_outcome": "outcome",
    "read_result": "ending",
    "runs_table": "runs",
    "runs_under": "runs",
    "write_html_report": "html",
}

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
    "Ending",
    "EngineResult",
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
    "Unfinished",
    "WarmStartResult",
    "finished_trials",
    "front_chart",
    "how_far",
    "html_report",
    "is_run",
    "junit_xml",
    "line_chart",
    "pictures_of",
    "posterior_chart",
    "read_outcome",
    "read_result",
    "runs_table",
    "runs_under",
    "scatter",
    "tables",
    "verdict",
    "write_html_report",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
