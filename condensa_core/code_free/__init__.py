"""Files that torch would run code from, loaded without."""

from condensa_core.code_free.program import load_program
from condensa_core.code_free.torch_archive import is_torch_archive, open_torch_archive

__all__ = ["is_torch_archive", "load_program", "open_torch_archive"]
