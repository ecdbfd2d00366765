"""What learning costs, counted where it happens."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any


class Meter:
    """Sample passes through one model of `macs` MACs a sample, and the processor seconds beside them.

    `trained` counts samples that went forward and back, `inferred` those that only went forward (estimating BatchNorm
    statistics, judging). Passes follow from data and settings, whatever else the machine does; `processor_s` is that of
    all threads of this process since the meter began or was restored, accelerators not included.
    """

    def __init__(self, macs: int = 0) -> None:
        self.macs = macs
        self.trained = 0
        self.inferred = 0
        self._before_s = 0.0
        self._begun: float | None = time.process_time()

    @property
    def processor_s(self) -> float:
        """Up to now, or to where the meter was stopped."""
        return self._before_s + (0.0 if self._begun is None else time.process_time() - self._begun)

    def stop(self) -> None:
        """Let no more processor time count."""
        self._before_s, self._begun = self.processor_s, None

    def record(self) -> dict[str, Any]:
        """JSON values from which `restore` continues the count, in another process if need be."""
        return {"trained": self.trained, "inferred": self.inferred, "processor_s": self.processor_s}

    def restore(self, record: Mapping[str, Any]) -> None:
        """Take over what was counted before; processor time goes on from now."""
        self.trained, self.inferred = int(record["trained"]), int(record["inferred"])
        self._before_s, self._begun = float(record["processor_s"]), time.process_time()
