"""One seed, split by label, so that rooms cannot disturb each other's draws."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class Seed:
    """A seed that gives independent child seeds by label: the same labels always give the same child."""

    root: int = 0

    def child(self, *labels: str | int) -> Seed:
        """The seed of a named sub-task; `root` of the child lies in 0..2^63-1."""
        text = ":".join([str(self.root), *map(str, labels)])
        return Seed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1)

    def torch_generator(self, *labels: str | int) -> torch.Generator:
        """A fresh CPU generator for the labels."""
        import torch  # here, because recipes carry a seed and must stay torch-free

        return torch.Generator().manual_seed(self.child(*labels).root)

    def numpy_generator(self, *labels: str | int) -> np.random.Generator:
        """A fresh numpy generator for the labels."""
        import numpy as np

        return np.random.default_rng(self.child(*labels).root)
