"""Does the session that is timed compute what the file says?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from condensa_core.bench.arithmetic import arithmetic_of, tolerance_of
from condensa_core.bench.difference import Difference, difference
from condensa_core.bench.inputs import Feeds, InputRequest, Prepared, prepare
from condensa_core.bench.model_file import ModelFile
from condensa_core.bench.plain import plain_outputs
from condensa_core.bench.runner import Runner
from condensa_core.errors import MissingRuntime, UsageError

SAMPLES: Final = 32  # what the batches hold together, unless that takes more than MOST_BATCHES
MOST_BATCHES: Final = 8
PLAIN_S: Final = 2.0  # for the reference of a file: larger models are judged on fewer batches


@dataclass(frozen=True)
class Parity:
    """How far a timed session is from a reference, and how far it may be.

    `difference` is None where there is no reference to be had, with the reason in `problem`. `tolerance` None: nobody
    said how far is too far.
    """

    difference: Difference | None
    tolerance: float | None
    problem: str = ""

    @property
    def ok(self) -> bool | None:
        """None where nothing was or could be judged."""
        if self.difference is None or self.tolerance is None:
            return None
        return self.difference.within(self.tolerance)

    def to_json(self) -> dict[str, Any]:
        """Plain data: the figures are null where there is no reference."""
        known = self.difference
        figures = dict.fromkeys(Difference.__dataclass_fields__) if known is None else known.to_json()
        return {**figures, "tolerance": self.tolerance, "ok": self.ok, "problem": self.problem}


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
        file = self._files[name]
        right = self._reference(name)
        against = self._of_base(name)
        count = max((len(known) for known in (right, against) if isinstance(known, list)), default=0)
        found = []
        for batch in self._batches[:count]:
            runner.feed(batch[name])
            runner.run()
            found.append(runner.outputs())
        runner.feed(self._batches[0][name])
        asked = self._max_error if self._base is None else None
        tolerance = tolerance_of(arithmetic_of(file), self._device) if asked is None else asked
        self.parity[name] = _judged(right, found, tolerance)
        if against is not None:
            try:
                self.to_base[name] = _judged(against, found, self._max_error)
            except UsageError as err:
                raise UsageError(f"{name} cannot be compared with {self._base}: {err.message}") from err

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
        wanted = min(MOST_BATCHES, max(2, -(-SAMPLES // timed.batch)))
        found = {name: file.inputs for name, file in files.items()}
        draws = (replace(request, seed=request.seed.child("parity", i)) for i in range(1, wanted))
        batches += [prepare(found, draw).feeds for draw in draws]
    return batches


def _judged(reference: list[Feeds] | str, found: Sequence[Feeds], tolerance: float | None) -> Parity:
    if isinstance(reference, str):
        return Parity(None, tolerance, reference)
    return Parity(difference(reference, found[: len(reference)]), tolerance)


def _same_inputs(ours: Feeds, theirs: Feeds) -> bool:
    """Whether two models are fed the same numbers, whatever the inputs are called; halves are rounded."""
    pairs = list(zip(ours.values(), theirs.values(), strict=False))
    return len(ours) == len(theirs) and all(
        a.shape == b.shape and np.allclose(a.astype(float), b.astype(float), rtol=1e-2, atol=1e-2, equal_nan=True)
        for a, b in pairs
    )
