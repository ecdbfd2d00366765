"""Does the session that is timed compute what the file says?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from condensa_core.bench.arithmetic import arithmetic_of, tolerance_of
from condensa_core.bench.difference import FIGURES, MOST_FLIPS, Difference, difference, other_shapes
from condensa_core.bench.inputs import Feeds, InputRequest, Prepared, prepare
from condensa_core.bench.model_file import ModelFile
from condensa_core.bench.plain import plain_outputs
from condensa_core.bench.runner import Runner
from condensa_core.bench.tensor_types import in_order_of
from condensa_core.errors import MissingRuntime, UsageError, first_line

SAMPLES: Final = 32  # what the batches hold together, unless that takes more than MOST_BYTES
MOST_BYTES: Final = 1 << 28  # of the inputs of one model
PLAIN_S: Final = 2.0  # for the reference of a file: larger models are judged on fewer batches
_RANDOM: Final = "it draws random numbers: computed twice, the file gives other outputs"


@dataclass(frozen=True)
class Parity:
    """How far a timed session is from a reference, and how far it may be.

    `difference` is None where there is nothing to compare, with the reason in `problem`: no reference is to be had, or,
    with `failed`, the session gave other outputs than can be laid beside it. `tolerance` None: nobody said how far is
    too far. `asked`: the user did, not the arithmetic of the file. `rounded`: the file rounds to
    integers between layers.
    """

    difference: Difference | None
    tolerance: float | None
    problem: str = ""
    asked: bool = False
    failed: bool = False
    rounded: bool = False

    @property
    def ok(self) -> bool | None:
        """None where nothing was or could be judged. A tolerance that was asked for is that of ids and classes, too."""
        if self.tolerance is None:
            return None
        if self.difference is None:
            return False if self.failed else None
        if self.asked:
            return self.difference.within(self.tolerance, self.tolerance)
        return self.difference.within(self.tolerance, MOST_FLIPS, rounded=self.rounded)

    @property
    def finding(self) -> str:
        """What was found, to be read after the name of the reference."""
        found = self.difference
        if found is None:
            return f": {self.problem}"
        if not found.finite:
            return ": NaN or infinity"
        cosine = "" if found.cosine is None else f", cosine {found.cosine:.6f}"
        ids = f", {found.unequal:.1%} of its integers" if found.unequal else ""
        classes = "" if found.top1_agreement is None else f", same class for {found.top1_agreement:.1%}"
        share = 0.0 if self.tolerance is None else found.beyond(self.tolerance)
        beyond = f", {share:.1%} of samples by more than allowed" if share else ""
        return f" by {found.max_rel:.1e} relative{beyond}{cosine}{ids}{classes}"

    def to_json(self) -> dict[str, Any]:
        """Plain data: the figures are null where there is no reference."""
        known = self.difference
        figures = dict.fromkeys(FIGURES) if known is None else known.to_json()
        beyond = None if known is None or self.tolerance is None else known.beyond(self.tolerance)
        return {**figures, "beyond": beyond, "tolerance": self.tolerance, "ok": self.ok, "problem": self.problem}


class Witness:
    """Feeds timed sessions with batches whose right outputs it knows, and remembers how far off they were.

    The right outputs are the file's own, computed node by node; where there is a `base`, its outputs besides, on
    which a compressed model must not be equal: `max_error` judges that difference, if it is given. Without a base it
    replaces the tolerance of the file's arithmetic.
    """

    def __init__(
        self,
        files: Mapping[str, ModelFile],
        batches: Sequence[Mapping[str, Feeds]],
        device: str,
        *,
        base: str | None = None,
        max_error: float | None = None,
    ) -> None:
        self._files, self._batches, self._device = files, batches, device
        self._base, self._max_error = base, max_error
        self._known: dict[str, list[Feeds] | str] = {}
        self.parity: dict[str, Parity] = {}
        self.to_base: dict[str, Parity] = {}

    def __call__(self, name: str, runner: Runner) -> None:
        """Judge the session of one file; it is left with the inputs of the first batch."""
        right = self._reference(name)
        against = self._of_base(name)
        count = max((len(known) for known in (right, against) if isinstance(known, list)), default=0)
        found = _computed(runner, [batch[name] for batch in self._batches[:count]])
        runner.feed(self._batches[0][name])
        asked = self._max_error if self._base is None else None
        arithmetic = arithmetic_of(self._files[name])
        tolerance = tolerance_of(arithmetic, self._device) if asked is None else asked
        parity = _judged(right, found, tolerance, asked=asked is not None)
        parity = replace(parity, rounded=arithmetic == "integer")
        if parity.ok is False and self._draws(name, tolerance):
            parity = Parity(None, tolerance, _RANDOM, asked=asked is not None)
            self._known[name] = _RANDOM
        self.parity[name] = parity
        if against is not None:
            known = _RANDOM if parity.problem == _RANDOM else against
            self.to_base[name] = _judged(known, found, self._max_error, asked=self._max_error is not None)

    def _draws(self, name: str, tolerance: float) -> bool:
        """Whether the file draws random numbers: it does not agree with itself."""
        first = self._batches[0][name]
        one, other = plain_outputs(self._files[name], [first, first], seconds=math.inf)
        if other_shapes([one], [other]):
            return True
        apart = difference([one], [other])
        return apart is not None and (apart.max_rel > tolerance or (apart.unequal or 0.0) > MOST_FLIPS)

    def _of_base(self, name: str) -> list[Feeds] | str | None:
        """The outputs of the base, or why they are none to compare with; None without a base, and for the base."""
        if self._base is None or name == self._base:
            return None
        if not all(_same_inputs(batch[name], batch[self._base]) for batch in self._batches):
            return f"{name} takes other inputs than {self._base}"
        return self._reference(self._base)

    def _reference(self, name: str) -> list[Feeds] | str:
        """The outputs of a file as it is written, or why there are none."""
        if name not in self._known:
            fed = [batch[name] for batch in self._batches]
            try:
                self._known[name] = plain_outputs(self._files[name], fed, seconds=PLAIN_S)
            except (UsageError, MissingRuntime) as err:
                self._known[name] = err.message
        return self._known[name]


def parity_batches(files: Mapping[str, ModelFile], request: InputRequest, timed: Prepared) -> list[Mapping[str, Feeds]]:
    """What the sessions are judged on: the batch that is timed first, and others drawn like it, of other seeds.

    The user's own arrays are the only batch.
    """
    batches = [timed.feeds]
    if request.file is None:
        largest = max(sum(array.nbytes for array in feeds.values()) for feeds in timed.feeds.values())
        wanted = max(2, min(-(-SAMPLES // timed.batch), MOST_BYTES // max(largest, 1)))
        found = {name: file.inputs for name, file in files.items()}
        draws = (replace(request, seed=request.seed.child("parity", i)) for i in range(1, wanted))
        batches += [prepare(found, draw).feeds for draw in draws]
    return batches


def _computed(runner: Runner, batches: Sequence[Feeds]) -> list[Feeds] | Parity:
    """The session's outputs on the batches, or what is to be said of a session that has none."""
    found = []
    for batch in batches:
        runner.feed(batch)
        try:
            runner.run()
        except Exception as err:  # a runtime's errors share no base class with a name
            return Parity(
                None, None, f"{runner.runtime} does not run one of its batches: {first_line(err)}", failed=True
            )
        try:
            found.append(runner.outputs())
        except UsageError as err:
            return Parity(None, None, err.message)
    return found


def _judged(
    reference: list[Feeds] | str, found: list[Feeds] | Parity, tolerance: float | None, *, asked: bool
) -> Parity:
    if isinstance(reference, str):
        return Parity(None, tolerance, reference, asked)
    if isinstance(found, Parity):
        return replace(found, tolerance=tolerance, asked=asked)
    problem = other_shapes(reference, found[: len(reference)])
    if problem:
        return Parity(None, tolerance, problem, asked, failed=True)
    apart = difference(reference, found[: len(reference)])
    return Parity(apart, tolerance, "" if apart else "its outputs are empty on these inputs", asked)


def _same_inputs(ours: Feeds, theirs: Feeds) -> bool:
    """Whether two models are fed the same numbers, paired as `prepare` does; halves are rounded."""
    if len(ours) != len(theirs):
        return False
    pairs = [(ours[a], b) for a, b in zip(in_order_of(list(theirs), list(ours)), theirs.values(), strict=True)]
    return all(
        a.shape == b.shape and np.allclose(a.astype(float), b.astype(float), rtol=1e-2, atol=1e-2, equal_nan=True)
        for a, b in pairs
    )
