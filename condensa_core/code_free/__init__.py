"""Files that torch would run code from, loaded without."""

from condensa_core.code_free.program import load_program
from condensa_core.code_free.swelling import require_no_swelling

__all__ = ["load_program", "require_no_swelling"]
