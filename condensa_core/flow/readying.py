"""What each runtime would need here, as JSON values."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from condensa_core.bench.readiness import readiness


def runtimes_here() -> list[dict[str, Any]]:
    """`runtime`, `device`, whether it is `ready`, and what it `needs`: `what` is missing and the `remedy`, if any."""
    return [
        {"runtime": r.runtime, "device": r.device, "ready": not r.needs, "needs": [asdict(need) for need in r.needs]}
        for r in readiness()
    ]
