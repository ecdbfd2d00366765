"""Files that torch would run code from, loaded without."""

from condensa_core.code_free.program import load_program

__all__ = ["load_program"]
