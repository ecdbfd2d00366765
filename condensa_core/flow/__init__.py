"""The composition root: the only room that knows every other. What the command line does, Python can do from here.

Each part loads when it is first asked for: `bench` needs no torch, which takes seconds to load.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from condensa_core.bench import Bounds
    from condensa_core.flow.ablating import ablate
    from condensa_core.flow.benching import bench
    from condensa_core.flow.cataloguing import catalogue
    from condensa_core.flow.compiling import engine
    from condensa_core.flow.planning import PlanReport, inspect_builtin, inspect_recipe, plan
    from condensa_core.flow.readying import runtimes_here
    from condensa_core.flow.running import resume, run
    from condensa_core.flow.unpacking import unpack

_HOMES = {
    "PlanReport": "planning",
    "ablate": "ablating",
    "Bounds": "benching",
    "bench": "benching",
    "catalogue": "cataloguing",
    "engine": "compiling",
    "inspect_builtin": "planning",
    "inspect_recipe": "planning",
    "plan": "planning",
    "resume": "running",
    "run": "running",
    "runtimes_here": "readying",
    "unpack": "unpacking",
}

__all__ = [
    "Bounds",
    "PlanReport",
    "ablate",
    "bench",
    "catalogue",
    "engine",
    "inspect_builtin",
    "inspect_recipe",
    "plan",
    "resume",
    "run",
    "runtimes_here",
    "unpack",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
