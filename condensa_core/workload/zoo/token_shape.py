"""The shape of a text's samples and the arguments of a language model, checked."""

from __future__ import annotations

from condensa_core.errors import WorkloadError


def window_length(name: str, input_shape: tuple[int, ...]) -> int:
    """The number of tokens of a sample; WorkloadError when samples are no text."""
    if len(input_shape) != 1:
        raise WorkloadError(f"{name} needs text (windows of tokens), the data has shape {input_shape}")
    return input_shape[0]


def check_counts(name: str, **counts: object) -> None:
    """WorkloadError unless every argument is a whole number of at least 1."""
    for argument, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise WorkloadError(f"{name}: {argument} must be a count of at least 1, got {value!r}")


def check_dropout(name: str, dropout: object) -> None:
    """WorkloadError unless `dropout` is a probability below 1."""
    if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
        raise WorkloadError(f"{name}: dropout must lie in [0, 1), got {dropout!r}")
