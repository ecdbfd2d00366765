"""What every scheme promises; `tests/schemes/test_contract.py` runs these promises over the catalogue.

A scheme answers: in what small form Theta is a weight kept? Its projection is the C step of the L-C algorithm,

    Theta = argmin_Theta ||target - Delta(Theta)||^2,

exact wherever an exact algorithm exists, on the target's device, without touching the target.
Source: Carreira-Perpinan, "Model compression as constrained optimization, with application to neural nets. Part I",
arXiv:1707.01209, sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
from torch import Tensor

from condensa_core.graph.channels import Family

Tensors = Mapping[str, Tensor]  # parameter name (as in `named_parameters`) -> tensor


@dataclass(frozen=True, eq=False)
class Target:
    """What a scheme projects: the named tensors jointly (one threshold, one count over all of them).

    `families` are the coupled channels whose producing rows are among the tensors; only structured schemes use them,
    and then `tensors` also holds what travels with a channel (biases, norm weights).
    """

    tensors: Tensors
    families: tuple[Family, ...] = ()


class Code(Protocol):
    """Theta: the small form of a target."""

    def decode(self) -> dict[str, Tensor]:
        """Delta(Theta): dense tensors of the target's names, shapes, dtype and device."""

    def bits(self) -> int:
        """Stored size in bits, indices and code books included."""

    def arrays(self) -> dict[str, Tensor]:
        """What is stored, by name; together with the scheme's settings and the shapes it determines `decode()`."""

    def same_structure(self, other: Code) -> bool:
        """Whether masks, assignments or ranks are those of `other`: values may differ (the L-C loop has settled)."""


class ChannelCode(Code, Protocol):
    """The code of a scheme that removes units: physically smaller after `materialise.shrink`."""

    @property
    def keep(self) -> dict[str, np.ndarray]:
        """Surviving units by family name, boolean."""


@dataclass(frozen=True)
class Facts:
    """What a scheme is and does, for refusing bad combinations and for telling the truth in reports."""

    summary: str
    source: str
    structure: Literal["channel", "element", "value"]  # whole units, single weights, or their precision
    exact: bool  # whether `project` is a global minimiser
    shrinks_file: str  # one sentence: effect on bytes of model.onnx
    speeds_up: str  # one sentence: effect on runtimes here


class Scheme(Protocol):
    """A compression operator with its settings."""

    name: ClassVar[str]
    facts: ClassVar[Facts]

    def project(self, target: Target) -> Code:
        """The C step. Deterministic: ties go to the earlier position."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some parameters of a model (as in `named_parameters`) and the scheme that compresses them jointly."""

    names: tuple[str, ...]
    scheme: Scheme
    families: tuple[Family, ...] = ()
