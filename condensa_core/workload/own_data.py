"""The user's own samples, wrapped as batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from condensa_core.errors import WorkloadError
from condensa_core.randomness import Seed
from condensa_core.workload.batches import (
    Batches,
    DatasetBatches,
    StreamedBatches,
    TensorBatches,
    checked_batch,
)
from condensa_core.workload.global_state import keeping_global_state, seed_draws
from condensa_core.workload.python_reference import call_object, load_object, user_code

if TYPE_CHECKING:
    from condensa_core.recipe import SourceSpec

_BATCH = 128  # where neither the recipe nor the user's code says


def own_batches(
    source: SourceSpec, *, name: str, training: bool, seed: Seed, directory: Path, allow_python: bool
) -> Batches:
    """The batches of the object that `source` names; `name` is what messages call it.

    The object, or what it returns when called with the recipe's `args`, may be: (inputs, targets) as tensors or
    arrays (for a language model both of token ids, n x t); a map-style `Dataset` of such pairs; a `DataLoader`;
    anything that gives batches (inputs, targets) each time it is iterated. WorkloadError for all else.
    """
    with keeping_global_state():
        seed_draws(seed.child("function").root)  # what it draws is the same in every process
        found = _own_object(source, directory, allow_python)
    return _wrapped(found, f"{name} ({source.python})", source.batch, source.limit, seed, training)


def declared_classes(part: Batches) -> int | None:
    """How many classes the data set behind `part` says that it has; None where it does not say."""
    source: Any = None
    if isinstance(part, DatasetBatches):
        source = part.dataset
    elif isinstance(part, StreamedBatches):
        source = getattr(part.source, "dataset", part.source)
    return _declared_classes(source)


def _own_object(source: SourceSpec, directory: Path, allow_python: bool) -> Any:
    reference = source.python
    found = load_object(reference, directory, allow_python=allow_python)
    if callable(found):
        return call_object(reference, found, source.args, directory)
    if source.args:
        raise WorkloadError(
            f"{reference} is a {type(found).__name__} and takes no args",
            hint="leave out args, or name a function that takes them",
        )
    return found


def _wrapped(found: Any, name: str, batch: int | None, limit: int | None, seed: Seed, training: bool) -> Batches:
    if isinstance(found, TensorDataset) and len(found.tensors) == 2:
        found = found.tensors
    if isinstance(found, tuple) and len(found) == 2 and all(isinstance(part, (Tensor, np.ndarray)) for part in found):
        inputs, targets = checked_batch(found, name)
        if len(targets) == 0:
            raise WorkloadError(f"{name} holds no samples", hint="give at least one sample")
        return TensorBatches(inputs[:limit], targets[:limit], batch or _BATCH, seed=seed, training=training)
    if isinstance(found, Dataset) and not isinstance(found, IterableDataset):
        return _from_dataset(found, name, batch or _BATCH, limit, seed, training)
    if isinstance(found, Iterator):
        raise WorkloadError(
            f"{name} is a {type(found).__name__}, which can be read only once",
            hint="return a list, a DataLoader, or an object whose __iter__ starts again",
        )
    if not isinstance(found, Iterable) or isinstance(found, (Tensor, np.ndarray, str, bytes, dict)):
        raise WorkloadError(
            f"{name} is a {type(found).__name__}",
            hint="expected (inputs, targets) tensors, a Dataset, a DataLoader or an iterable of batches",
        )
    streamed = _streamed(found, name, limit, seed, training)
    if batch is not None and batch != streamed.batch:
        return streamed.rebatched(batch)  # refuses, and says why
    return streamed


def _from_dataset(found: Any, name: str, batch: int, limit: int | None, seed: Seed, training: bool) -> DatasetBatches:
    if not isinstance(found, Sized):
        raise WorkloadError(f"{name} is a Dataset without a length", hint="give it __len__, or return a DataLoader")
    count = len(found) if limit is None else min(limit, len(found))
    if count == 0:
        raise WorkloadError(f"{name} holds no samples", hint="give at least one sample")
    part = DatasetBatches(found, name, count, batch, seed, training)
    next(iter(part))  # the first batch is checked now, not after the reference was trained
    return part


def _streamed(found: Any, name: str, limit: int | None, seed: Seed, training: bool) -> StreamedBatches:
    with user_code(name):
        first = next(iter(found), None)
    if first is None:
        raise WorkloadError(f"{name} gives no batches", hint="give at least one batch each time it is read")
    batch = len(checked_batch(first, name)[1])
    count = _loader_count(found)
    if count is None:  # one pass tells; a limit keeps it short
        count = 0
        with user_code(name):
            for given in found:
                count += len(checked_batch(given, name)[1])
                if limit is not None and count >= limit:
                    break
    count = count if limit is None else min(count, limit)
    return StreamedBatches(found, name, count, batch, -(-count // batch), seed, training)


def _loader_count(found: Any) -> int | None:
    """Samples in a pass of an ordinary DataLoader, from its settings; None where only counting tells."""
    if not isinstance(found, DataLoader) or found.batch_size is None or isinstance(found.dataset, IterableDataset):
        return None
    if found.drop_last:
        return len(found) * found.batch_size
    return len(found.sampler) if isinstance(found.sampler, Sized) else None


def _declared_classes(dataset: Any) -> int | None:
    names = getattr(dataset, "classes", None)
    if isinstance(names, (list, tuple)) and names:
        return len(names)
    number = getattr(dataset, "num_classes", None)
    return number if isinstance(number, int) and number > 0 else None
