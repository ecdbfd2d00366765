"""What the user wants, read and checked: text in, frozen records with positions out. Torch-free."""

from condensa_core.recipe.applying import answers, applied_on
from condensa_core.recipe.conditions import Answer, WhenSpec, answer
from condensa_core.recipe.document import KeyPlace
from condensa_core.recipe.expressions import Expression, Ref, references_in, setting_at
from condensa_core.recipe.knob_checks import knobs_in_use
from condensa_core.recipe.reading import check_recipe, read_recipe, read_recipe_text, recipe_from
from condensa_core.recipe.records import (
    BoundSpec,
    CompressSpec,
    ConstraintSpec,
    DataSpec,
    ExceptSpec,
    Expectation,
    FinetuneSpec,
    GateSpec,
    KeepSpec,
    KnobSpec,
    LStepSpec,
    MetricSpec,
    ModelSpec,
    MuSpec,
    ObjectiveSpec,
    OutputSpec,
    Recipe,
    ReferenceSpec,
    RuleSpec,
    SearchSpec,
    SourceSpec,
    TargetSpec,
    TrainSpec,
)
from condensa_core.recipe.resolved import plain, resolved_yaml
from condensa_core.recipe.schema import recipe_schema
from condensa_core.recipe.schemes import (
    FLOATING,
    LEFT_ALONE,
    STRUCTURED,
    PythonSpec,
    SchemeSpec,
    check_setting,
    strength_of,
)
from condensa_core.recipe.strategies import strategy_words
from condensa_core.recipe.target_checks import engine_target, gate_target, objective_target, times_ranks
from condensa_core.recipe.units import Quantity
from condensa_core.recipe.vocabulary import ENGINE_FIGURES

__all__ = [
    "ENGINE_FIGURES",
    "FLOATING",
    "LEFT_ALONE",
    "STRUCTURED",
    "Answer",
    "BoundSpec",
    "CompressSpec",
    "ConstraintSpec",
    "DataSpec",
    "ExceptSpec",
    "Expectation",
    "Expression",
    "FinetuneSpec",
    "GateSpec",
    "KeepSpec",
    "KeyPlace",
    "KnobSpec",
    "LStepSpec",
    "MetricSpec",
    "ModelSpec",
    "MuSpec",
    "ObjectiveSpec",
    "OutputSpec",
    "PythonSpec",
    "Quantity",
    "Recipe",
    "Ref",
    "ReferenceSpec",
    "RuleSpec",
    "SchemeSpec",
    "SearchSpec",
    "SourceSpec",
    "TargetSpec",
    "TrainSpec",
    "WhenSpec",
    "answer",
    "answers",
    "applied_on",
    "check_recipe",
    "check_setting",
    "engine_target",
    "gate_target",
    "knobs_in_use",
    "objective_target",
    "plain",
    "read_recipe",
    "read_recipe_text",
    "recipe_from",
    "recipe_schema",
    "references_in",
    "resolved_yaml",
    "setting_at",
    "strategy_words",
    "strength_of",
    "times_ranks",
]
