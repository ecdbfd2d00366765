"""What the user wants, read and checked: text in, frozen records with positions out. Torch-free."""

from condensa_core.recipe.document import KeyPlace
from condensa_core.recipe.expressions import Expression, Ref
from condensa_core.recipe.reading import check_recipe, read_recipe, read_recipe_text, recipe_from
from condensa_core.recipe.records import (
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
from condensa_core.recipe.resolved import resolved_yaml
from condensa_core.recipe.schema import recipe_schema
from condensa_core.recipe.schemes import LESS_IS_SMALLER, STRUCTURED, PythonSpec, SchemeSpec
from condensa_core.recipe.units import Quantity

__all__ = [
    "LESS_IS_SMALLER",
    "STRUCTURED",
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
    "check_recipe",
    "read_recipe",
    "read_recipe_text",
    "recipe_from",
    "recipe_schema",
    "resolved_yaml",
]
