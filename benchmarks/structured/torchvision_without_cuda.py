"""torchvision beside a CPU torch: import this before anything that imports torchvision.

torchvision's wheel on the index is built for CUDA; its library cannot be loaded beside torch+cpu, and its import stops
at `operator torchvision::nms does not exist` (0.28.0). With the schemas of its two operators it imports, and everything
that its models need has an equivalent in Python.
"""

from __future__ import annotations

import torch
from torch import Tensor

_BOXES = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_LIBRARY = torch.library.Library("torchvision", "FRAGMENT")  # the operators live as long as this object


def _non_maximum_suppression(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """The indices of the boxes to keep, best score first: each is dropped if it overlaps a better one too much."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order, kept = scores.argsort(descending=True), []
    while order.numel():
        best, order = order[0], order[1:]
        kept.append(best)
        upper_left = torch.maximum(boxes[best, :2], boxes[order, :2])
        lower_right = torch.minimum(boxes[best, 2:], boxes[order, 2:])
        shared = (lower_right - upper_left).clamp(min=0).prod(dim=1)
        order = order[shared / (areas[best] + areas[order] - shared) <= threshold]
    return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.long)


if not hasattr(torch.ops.torchvision, "nms"):
    _LIBRARY.define("nms" + _BOXES)
    _LIBRARY.define("qnms" + _BOXES)
    _LIBRARY.impl("nms", _non_maximum_suppression, "CPU")

    import torchvision.ops.boxes

    torchvision.ops.boxes._assert_has_ops = lambda: None  # it looks for the compiled library, not for operators
