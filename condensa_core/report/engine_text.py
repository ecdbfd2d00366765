"""The engine that ships, in the verdict."""

from __future__ import annotations

from condensa_core.report.outcome import Outcome
from condensa_core.report.quantities import bytes_text


def engine_lines(outcome: Outcome) -> list[str]:
    """What was built, what is known of it, and what was not measured; or why there is none."""
    engine = outcome.engine
    if engine is None:
        return []
    if not engine.path:
        how = "skipped" if engine.skipped else "not built"
        return [f"  engine     {how} for target '{engine.target}': {engine.problem}"]
    memory = [
        f"{what} memory {bytes_text(size)}"
        for what, size in (("weights", engine.weights_bytes), ("activation", engine.activation_bytes))
        if size is not None
    ]
    size = "" if engine.bytes is None else f"{bytes_text(engine.bytes)}, "
    facts = [f"{size}{engine.precision} for {', '.join(engine.capabilities)}", *memory, f"{engine.layers} layers"]
    lines = [f"  engine     {'; '.join(facts)}"]
    return lines + ([f"  engine     {engine.unmeasured}"] if engine.unmeasured else [])
