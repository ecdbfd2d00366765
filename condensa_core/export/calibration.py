"""What values flow through a network: histograms of its tensors over calibration batches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from condensa_core.errors import ExportFailed, UsageError, first_line
from condensa_core.export.onnx_file import load_onnx
from condensa_core.export.session import Inputs, as_tuple, onnxruntime
from condensa_core.export.tried_first import tried_first

_BINS: Final = 8192  # on either side of zero: 128 KiB of counts a tensor
_LIMIT_BYTES: Final = 2**28  # of observed tensors in memory at a time

Array = npt.NDArray[np.float64]


class Histogram:
    """Counts of finite numbers in bins of equal width, for a stream of unknown range; memory is constant.

    The width is a power of two and doubles, by merging neighbours, when a number lies beyond the last bin. So the
    counts depend on the numbers alone, not on their order or how they were cut into batches. Zeros are counted apart:
    any grid represents them exactly. The bins in use on the wider side are more than half of 8192.
    """

    def __init__(self) -> None:
        self.least = self.greatest = 0.0  # zero is always within: it must be representable
        self.count = self.zeros = 0
        self._exponent: int | None = None  # the bins cover [-2^exponent, 2^exponent)
        self._counts = np.zeros(2 * _BINS, dtype=np.int64)

    def add(self, values: npt.NDArray[Any]) -> None:
        """Count `values` (any shape and float dtype). UsageError for NaN and infinity: no range would hold them."""
        wide = np.asarray(values, dtype=np.float64).ravel()
        self.count += wide.size
        wide = wide[wide != 0]
        self.zeros = self.count - self._seen() - wide.size
        if not wide.size:
            return
        least, greatest = float(wide.min()), float(wide.max())
        if not (math.isfinite(least) and math.isfinite(greatest)):
            raise UsageError("calibration met NaN or infinity", hint="look at the calibration data, and at the model")
        self.least, self.greatest = min(self.least, least), max(self.greatest, greatest)
        self._reach(max(-least, greatest))
        assert self._exponent is not None
        places = np.floor(np.ldexp(wide, -self._exponent) * _BINS).astype(np.int64) + _BINS
        self._counts += np.bincount(places, minlength=2 * _BINS)

    def _seen(self) -> int:
        return int(self._counts.sum())

    def _reach(self, magnitude: float) -> None:
        needed = math.frexp(magnitude)[1]  # magnitude < 2^needed
        if self._exponent is None:
            self._exponent = needed
        while self._exponent < needed:
            paired = self._counts.reshape(-1, 2).sum(1)
            self._counts[:] = 0
            self._counts[_BINS // 2 : _BINS // 2 + _BINS] = paired
            self._exponent += 1

    @property
    def width(self) -> float:
        """Of a bin."""
        return 0.0 if self._exponent is None else math.ldexp(1.0, self._exponent) / _BINS

    def bins(self) -> tuple[Array, npt.NDArray[np.int64]]:
        """Centres and counts of the bins from the least to the greatest number, zeros left out."""
        used = np.flatnonzero(self._counts)
        if not used.size:
            return np.empty(0), np.empty(0, dtype=np.int64)
        first, last = int(used[0]), int(used[-1]) + 1
        centres: Array = (np.arange(first, last, dtype=np.float64) - _BINS + 0.5) * self.width
        return centres, self._counts[first:last].copy()

    def sides(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Counts of negative and of positive numbers by distance from zero: entry i is i to i + 1 widths away."""
        return self._counts[_BINS - 1 :: -1].copy(), self._counts[_BINS:].copy()

    def magnitudes(self) -> npt.NDArray[np.int64]:
        """Counts of |x|, zeros left out: entry i is i to i + 1 widths from zero; up to the greatest magnitude."""
        negative, positive = self.sides()
        used = np.flatnonzero(negative + positive)
        return (negative + positive)[: int(used[-1]) + 1 if used.size else 0]


def observe(
    source: str | Path, tensors: Sequence[str], batches: Iterable[Inputs], *, limit_bytes: int = _LIMIT_BYTES
) -> dict[str, Histogram]:
    """A histogram of each named tensor of the ONNX file over all batches of inputs, in one pass.

    Batches are cut so that the observed tensors of one run take about `limit_bytes` at most (one sample is the least).
    UsageError without batches and for NaN, ExportFailed where ONNX Runtime does not run the graph.
    """
    import onnx

    _, model = load_onnx(Path(source))
    inputs = [value.name for value in model.graph.input if value.name not in {t.name for t in model.graph.initializer}]
    computed = [name for name in tensors if name not in inputs]
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in computed)
    if not computed:  # a graph must have an output
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(model.graph.node[-1].output[0]))
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    content = model.SerializeToString()
    tried_first(content)
    found = {name: Histogram() for name in tensors}
    step, any_batch = 1, False
    try:
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        for batch in batches:
            arrays = [x.detach().cpu().contiguous().numpy() for x in as_tuple(batch)]
            any_batch, samples = True, len(arrays[0])
            if isinstance(session.get_inputs()[0].shape[0], int):  # a fixed batch cannot be cut
                step = samples
            start = 0
            while start < samples:
                some = {name: x[start : start + step] for name, x in zip(inputs, arrays, strict=True)}
                seen = dict(zip(computed, session.run(computed or None, some), strict=False))
                for name in tensors:
                    found[name].add(some[name] if name in some else seen[name])
                start += step
                size = sum(values.nbytes for values in seen.values()) or 1
                step = max(1, int(limit_bytes * len(next(iter(some.values()))) / size))
    except UsageError:
        raise
    except Exception as err:  # the runtime's errors share no base class with a name
        raise ExportFailed(
            f"ONNX Runtime failed on {Path(source).name} in calibration: {first_line(err)}",
            hint="leave 'activations' out of the rules, or look for what these inputs hold",
        ) from err
    if not any_batch:
        raise UsageError("calibration needs at least one batch of inputs")
    return found
