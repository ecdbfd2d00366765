"""The composition root: the only room that knows every other. What the command line does, Python can do from here."""

from condensa_core.flow.ablating import ablate
from condensa_core.flow.benching import bench
from condensa_core.flow.catalogue import catalogue
from condensa_core.flow.planning import PlanReport, inspect_builtin, inspect_recipe, plan
from condensa_core.flow.running import resume, run
from condensa_core.flow.unpacking import unpack

__all__ = [
    "PlanReport",
    "ablate",
    "bench",
    "catalogue",
    "inspect_builtin",
    "inspect_recipe",
    "plan",
    "resume",
    "run",
    "unpack",
]
