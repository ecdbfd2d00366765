"""Hand-made families for tests of structured schemes: no graph needed."""

from __future__ import annotations

import numpy as np
import torch

from condensa_core.graph.channels import Family, Member


def dense_family(name: str, units: int, *, bias: bool = False, consumer: str | None = None) -> Family:
    """Units are the rows of `name`.weight, with their bias and the columns of `consumer`.weight."""
    index = np.arange(units)[:, None]
    members = [Member(f"{name}.weight", 0, index, "produces")]
    if bias:
        members.append(Member(f"{name}.bias", 0, index, "follows"))
    if consumer:
        members.append(Member(f"{consumer}.weight", 1, index, "consumes"))
    return Family(name, units, tuple(members), (name,))


def random_target(sizes: dict[str, tuple[int, int]], seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {f"{name}.weight": torch.randn(shape, generator=generator) for name, shape in sizes.items()}
