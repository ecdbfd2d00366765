"""Every form of the model that ships computes what was judged."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

from torch import Tensor, nn

from condensa_core.export import load_pt2, require
from condensa_core.export.parity import compare as parity_of
from condensa_core.flow.judged_file import judged_file
from condensa_core.flow.timing import PROGRAM_TOLERANCE
from condensa_core.flow.trial import FILE, PACKED

PROGRAM: Final = "model.pt2"
# Relatively, of a packed file against the plain one: decoded weights differ by up to 1e-6 of a tensor's largest number;
# where activations are rounded to integers, that may move one of 255 steps of some.
PACKED_TOLERANCE: Final = 1e-3
PACKED_TOLERANCE_INTEGERS: Final = 0.05


def require_alike(folder: Path, names: Collection[str], module: nn.Module, inputs: Tensor, *, integers: bool) -> None:
    """ParityError where the packed file among `names` computes something else than `folder`'s model.onnx, which was
    judged, or the program something else than `module`."""
    if PACKED in names:
        tolerance = PACKED_TOLERANCE_INTEGERS if integers else PACKED_TOLERANCE
        files = judged_file(folder / FILE), judged_file(folder / PACKED)
        require(parity_of(*files, [inputs], tolerance), PACKED)
    if PROGRAM in names:
        require(parity_of(module.eval(), load_pt2(folder / PROGRAM), [inputs], PROGRAM_TOLERANCE), PROGRAM)
