"""A recipe bound to one model: selectors expanded, channels claimed, conflicts reported before anything expensive."""

from condensa_core.plan.assignment import Assignment, Plan, Task
from condensa_core.plan.bind import bind
from condensa_core.plan.knobs import KnobSpace
from condensa_core.plan.matching import selects

__all__ = ["Assignment", "KnobSpace", "Plan", "Task", "bind", "selects"]
