"""Fixed structure: after every step of an optimizer, compressed parameters are put back to where they may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from condensa_core.schemes import Freedom


class Hold:
    """The orthogonal projection of parameters onto what `freedoms` allow, from where they stand now.

    An entry that is held goes back to its start. Entries that share a number move by sign times one amount, the mean
    of sign times their moves: with plain or momentum SGD this is descent in the shared numbers themselves.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], freedoms: Sequence[Freedom]) -> None:
        self._held: list[tuple[nn.Parameter, Tensor, Tensor]] = []  # parameter, start, what moves at all
        self._shared: list[_Shared] = []
        for freedom in freedoms:
            sharing = []
            for name, label in freedom.labels.items():
                parameter = parameters[name]
                start = parameter.detach().clone()
                moves = label != 0
                if not moves.all():
                    self._held.append((parameter, start, moves))
                if (label > 0).any():
                    sharing.append((parameter, start, label, freedom.signs.get(name)))
            if sharing:
                self._shared.append(_Shared(sharing))

    @torch.no_grad()
    def __call__(self) -> None:
        """Project, in place."""
        for parameter, start, moves in self._held:
            parameter.copy_(torch.where(moves, parameter, start))
        for shared in self._shared:
            shared.project()


class _Shared:
    """The entries of one code that share numbers, over all its tensors."""

    def __init__(self, sharing: Sequence[tuple[nn.Parameter, Tensor, Tensor, Tensor | None]]) -> None:
        self._members: list[tuple[nn.Parameter, Tensor, Tensor, Tensor, Tensor]] = []
        every = torch.cat([label[label > 0] for _, _, label, _ in sharing])
        numbers = every.unique()
        for parameter, start, label, sign in sharing:
            at = label.flatten().gt(0).nonzero().flatten()
            number = torch.searchsorted(numbers, label.flatten()[at])
            signs = torch.ones_like(at) if sign is None else sign.flatten()[at]
            self._members.append((parameter, start.flatten()[at], at, number, signs.to(start.dtype)))
        self._counts = torch.zeros(len(numbers), dtype=torch.float64, device=every.device)
        for _, _, _, number, _ in self._members:
            self._counts += torch.bincount(number, minlength=len(numbers))

    def project(self) -> None:
        moved = torch.zeros_like(self._counts)
        for parameter, start, at, number, signs in self._members:
            moved.index_add_(0, number, ((parameter.reshape(-1)[at] - start) * signs).double())
        amount = moved / self._counts
        for parameter, start, at, number, signs in self._members:
            flat = parameter.reshape(-1)  # a copy where the parameter is not contiguous
            flat[at] = start + signs * amount[number].to(start.dtype)
            if flat.data_ptr() != parameter.data_ptr():
                parameter.copy_(flat.view(parameter.shape))
