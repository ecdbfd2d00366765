"""What is only for reading must not cost a training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from condensa_core.errors import Interrupted, first_line
from condensa_core.progress import Listener, Note


@contextmanager
def sparing(what: str, listener: Listener) -> Iterator[None]:
    """Whatever fails inside is told as a warning, "`what`: why", and goes no further; Interrupted passes."""
    try:
        yield
    except Interrupted:
        raise
    except Exception as err:  # hours of training are at stake, whatever is wrong with a picture or a comparison
        listener(Note(f"{what}: {first_line(err)}", level="warning"))
