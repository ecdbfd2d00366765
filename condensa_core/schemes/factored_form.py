"""A composition on factors seen from outside: the products that weights are, and what form their factors have."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from condensa_core.schemes.compose import ComposedCode
from condensa_core.schemes.contract import Code, Freedom
from condensa_core.schemes.lowrank_code import LowRankCode
from condensa_core.schemes.matrix_view import Factors


@dataclass(frozen=True, eq=False)
class FactoredForm:
    """A code as dense factors, and what holds those in turn.

    `product` has the factors as `inner` left them. `inner` is the code of the names in `product.values()`: `NAME.left`,
    `NAME.right`, and the names of dense tensors; None where they are plain numbers.
    """

    product: LowRankCode
    inner: Code | None

    @property
    def factors(self) -> dict[str, Factors]:
        """The decoded factors by parameter, rank 0 among them."""
        return dict(self.product.factors)

    def freedom(self) -> Freedom:
        """What may move in the factors at fixed structure, by the names of `product.values()`."""
        if self.inner is not None:
            return self.inner.freedom()
        numbers = self.product.values()
        labels = {n: torch.full(t.shape, -1, dtype=torch.int32, device=t.device) for n, t in numbers.tensors.items()}
        return Freedom({n: t.masked_fill(~numbers.alive[n], 0) if n in numbers.alive else t for n, t in labels.items()})


def factored_form(code: Code) -> FactoredForm | None:
    """The products in a code: of a low-rank code, alone or composed with others; None where there is none.

    A sum of a product and something else is no product.
    """
    codes = code.codes if isinstance(code, ComposedCode) else (code,)
    for at, own in enumerate(codes):
        if isinstance(own, LowRankCode):
            after = codes[at + 1 :]
            if not after:
                return FactoredForm(own, None)
            inner = after[0] if len(after) == 1 else ComposedCode(after)
            return FactoredForm(own.with_values(inner.decode()), inner)
    return None


def factor_names(name: str) -> tuple[str, str]:
    """What codes call the left and the right factor of a parameter."""
    return f"{name}.left", f"{name}.right"


def freedom_of(code: Code, split: Collection[str]) -> Freedom:
    """`code.freedom()` where the parameters named in `split` are two layers: these by their `factor_names`.

    A product that is not split is held, and so is every number that its factors share with others: moved there alone,
    the numbers would no longer be shared.
    """
    whole, form = code.freedom(), factored_form(code)
    if form is None:
        return whole
    inner = form.freedom()
    parts = {name: factor_names(name) for name in form.factors}
    mine = [half for name in parts if name in split for half in parts[name] if half in inner.labels]
    held = [inner.labels[half] for name in parts if name not in split for half in parts[name] if half in inner.labels]
    labels = {name: label for name, label in whole.labels.items() if name not in split}
    labels |= {half: inner.labels[half] for half in mine}
    if held:
        stay = torch.cat([label[label > 0] for label in held]).unique()
        labels = {name: label.masked_fill(_among(label, stay), 0) for name, label in labels.items()}
    signs = {name: sign for name, sign in whole.signs.items() if name in labels}
    signs |= {half: inner.signs[half] for half in mine if half in inner.signs}
    return Freedom(labels, signs)


def _among(label: Tensor, numbers: Tensor) -> Tensor:
    return torch.isin(label, numbers.to(label.device, label.dtype))
