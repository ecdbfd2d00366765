"""What the models of a comparison are fed: random arrays by a seed, or the user's own; the same for all of them."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from condensa_core.bench.array_file import load_arrays
from condensa_core.bench.memory import require_memory
from condensa_core.bench.tensor_types import DTYPES, TensorSignature, in_order_of
from condensa_core.errors import UsageError
from condensa_core.randomness import Seed

Feeds = Mapping[str, np.ndarray]  # one array for each input of a model, by its name
DRAWN: Final = 2  # random numbers exist twice for a moment: as drawn, and in the input's type
_BATCH_SYMBOL: Final = re.compile(r"n|b|bs|.*batch.*", re.IGNORECASE)
_SHAPE: Final = re.compile(r"\d{1,12}(?:x\d{1,12})*")


@dataclass(frozen=True)
class InputRequest:
    """What the user says of the inputs: the batch, sizes of open dimensions, whole shapes, or a file of arrays.

    `batch` None takes what the shapes, the arrays or the models say, and 1 where none of them does.
    """

    batch: int | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)  # of an open dimension, by its symbol
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # of an input, by its name
    file: Path | None = None
    seed: Seed = field(default_factory=Seed)


@dataclass(frozen=True)
class Prepared:
    """The feeds of every model, by the model's name, and the samples that one inference of any of them takes."""

    feeds: Mapping[str, Feeds]
    batch: int


def parse_shapes(texts: Sequence[str]) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    """Shapes of inputs and sizes by name, from `image=8x3x224x224` and `time=32,width=64`.

    A single number stands under both, for only the model tells whether the name is an input's or a dimension's.
    UsageError for what reads otherwise, for a size of 0 and for a name given twice.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    sizes: dict[str, int] = {}
    for item in (item for text in texts for item in text.split(",")):
        name, equals, value = (part.strip() for part in item.rpartition("="))
        if not name or not equals or not _SHAPE.fullmatch(value):
            hint = "write an input and its shape, such as image=8x3x224x224, or a dimension and its size, time=32"
            raise UsageError(f"--shape {item!r} is no shape", hint=hint)
        shape = tuple(int(size) for size in value.split("x"))
        if 0 in shape:
            raise UsageError(f"--shape {item!r} holds nothing", hint="every size must be at least 1")
        if name in shapes:
            raise UsageError(f"--shape gives {name!r} twice")
        shapes[name] = shape
        if len(shape) == 1:
            sizes[name] = shape[0]
    return shapes, sizes


def prepare(models: Mapping[str, Sequence[TensorSignature]], request: InputRequest) -> Prepared:
    """The feeds of each model; models whose inputs agree in type and shape are fed the same numbers.

    Inputs are paired with those of the first model: by name where both have the same names, else by position.
    UsageError where the request does not fit a model: each says what the model takes and what would do. MachineError
    for inputs that do not fit into memory.
    """
    _known_names(models, request)
    arrays = load_arrays(request.file) if request.file else None
    order = [value.name for value in next(iter(models.values()), ())]
    meant = _intervals(models, order)
    if arrays is not None and request.shapes:
        raise UsageError("--inputs and --shape exclude each other: the arrays have shapes of their own")
    feeds: dict[str, Feeds] = {}
    batches: dict[str, int] = {}
    for model, signatures in models.items():
        if arrays is None:
            shapes, batches[model] = shapes_of(signatures, request, model)
            sizes = (math.prod(shape) * _dtype(value).itemsize for value, shape in zip(signatures, shapes, strict=True))
            require_memory(DRAWN * sum(sizes), f"the input of {model}")
            places = {name: i for i, name in enumerate(in_order_of(order, [value.name for value in signatures]))}
            feeds[model] = {
                value.name: random_input(
                    replace(value, interval=meant.get(place)), shape, request.seed.child("inputs", place)
                )
                for value, shape in zip(signatures, shapes, strict=True)
                for place in [places[value.name]]
            }
        else:
            feeds[model] = _fitted(arrays, signatures, order, model, str(request.file))
            batches[model] = _batch_of(feeds[model], signatures, request.batch, model)
    if len(set(batches.values())) > 1:
        each = ", ".join(f"{model} {batch}" for model, batch in batches.items())
        raise UsageError(f"the models take other batches: {each}", hint="samples of one batch cannot be compared")
    return Prepared(feeds, next(iter(batches.values())))


def _intervals(models: Mapping[str, Sequence[TensorSignature]], order: Sequence[str]) -> dict[int, tuple[float, float]]:
    """What the inputs in each place are meant to hold, where any model says so: the widest of these intervals."""
    widest: dict[int, tuple[float, float]] = {}
    for signatures in models.values():
        said = {value.name: value.interval for value in signatures}
        for place, name in enumerate(in_order_of(order, list(said))):
            interval = said[name]
            if interval is not None:
                low, high = widest.get(place, interval)
                widest[place] = min(low, interval[0]), max(high, interval[1])
    return widest


def shapes_of(
    signatures: Sequence[TensorSignature], request: InputRequest, model: str
) -> tuple[list[tuple[int, ...]], int]:
    """The shape of each input of a model, and its batch.

    The batch is the open dimension called so, else the first of the first input. UsageError for a further dimension
    that stays open, for a shape that the model does not take, and for another batch than the model's.
    """
    symbol = batch_symbol(signatures)
    sizes = {s: request.sizes[s] for s in _symbols(signatures) if s in request.sizes}
    for value in signatures:
        asked = request.shapes.get(value.name)
        if asked is None:
            continue
        if len(asked) != len(value.shape):
            raise UsageError(f"{model}: --shape gives input {value.name!r} {len(asked)} dimensions, it takes {value}")
        for size, known in zip(asked, value.shape, strict=True):
            if isinstance(known, int) and size != known:
                raise UsageError(
                    f"{model}: the file fixes a dimension of {value} at {known}, asked was {size}",
                    hint="leave this dimension out of --shape, or export the file with it open",
                )
            if isinstance(known, str) and sizes.setdefault(known, size) != size:
                raise UsageError(
                    f"{model}: dimension {known!r} is given both {sizes[known]} and {size}",
                    hint="give each named dimension one size",
                )
    first = next((value for value in signatures if value.shape), None)
    batch = _agreed_batch(first, symbol, sizes, request, model)
    if symbol is not None:
        sizes[symbol] = batch
    shapes = []
    for value in signatures:
        shape = request.shapes.get(value.name) or _sized(value, sizes, batch if symbol is None else None, model)
        if 0 in shape:
            raise UsageError(
                f"{model}: input {value} holds nothing: a dimension is fixed at 0",
                hint="export it again with a dimension that is open, or at least 1",
            )
        shapes.append(shape)
    return shapes, batch


def _sized(value: TensorSignature, sizes: Mapping[str, int], unnamed_batch: int | None, model: str) -> tuple[int, ...]:
    """The shape of an input by the sizes of its symbols; UsageError for a dimension that stays open.

    `unnamed_batch` is for a first dimension without a name, as old exporters leave it.
    """
    shape = []
    for position, known in enumerate(value.shape):
        size = sizes.get(known) if isinstance(known, str) else known
        if known is None and position == 0:
            size = unnamed_batch
        if size is None:
            raise _open(value, known if isinstance(known, str) else None, model)
        shape.append(size)
    return tuple(shape)


def batch_symbol(signatures: Sequence[TensorSignature]) -> str | None:
    """The open dimension that counts samples: the one called so (batch, N, ...), else the first input's first."""
    symbols = _symbols(signatures)
    called = next((symbol for symbol in symbols if _BATCH_SYMBOL.fullmatch(symbol)), None)
    if called is not None:
        return called
    first = next((value.shape[0] for value in signatures if value.shape), None)
    return first if isinstance(first, str) else None


def batch_is_open(signatures: Sequence[TensorSignature], request: InputRequest) -> bool:
    """Whether the model can take any batch: neither it nor the arrays or shapes that were asked for fix one."""
    symbol = batch_symbol(signatures)
    if request.file is not None or symbol in request.sizes:
        return False
    first = next((value for value in signatures if value.shape), None)
    if symbol is None:
        return first is not None and first.shape[0] is None and first.name not in request.shapes
    return not any(symbol in value.shape and value.name in request.shapes for value in signatures)


def batch_is_guessed(signatures: Sequence[TensorSignature], request: InputRequest) -> bool:
    """Whether the samples are counted by nothing but a fixed first dimension, which may be time or colours as well."""
    first = next((value for value in signatures if value.shape), None)
    fixed = first is not None and batch_symbol(signatures) is None and isinstance(first.shape[0], int)
    return fixed and first is not None and first.shape[0] != 1 and request.batch is None


def random_input(signature: TensorSignature, shape: tuple[int, ...], seed: Seed) -> np.ndarray:
    """Random values of the input's type: the same numbers for the same shape and seed, rounded to the type.

    Floats fill the interval that the signature says they are meant to have, or else are standard normal; integers of 8
    bits take all their values (images), wider ones are 0 or 1, valid as ids of any vocabulary. UsageError for a type
    that no array of numpy holds.
    """
    dtype = _dtype(signature)
    generator = seed.numpy_generator("values")
    if np.issubdtype(dtype, np.floating):
        if signature.interval is None:
            return generator.standard_normal(shape, dtype=np.float32).astype(dtype)
        low, high = map(np.float32, signature.interval)
        return (low + (high - low) * generator.random(shape, dtype=np.float32)).astype(dtype)
    if dtype in (np.int8, np.uint8):
        return generator.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
    return generator.integers(0, 2, shape, dtype=np.int8).astype(dtype)


def _agreed_batch(
    first: TensorSignature | None, symbol: str | None, sizes: Mapping[str, int], request: InputRequest, model: str
) -> int:
    """The batch that the request and the model leave no doubt of."""
    given = sizes.get(symbol) if symbol is not None else None
    fixed = first.shape[0] if first is not None and symbol is None else None
    if first is not None and symbol is None and first.shape[0] is None and first.name in request.shapes:
        given = request.shapes[first.name][0]
    if first is None and request.batch not in (None, 1):
        raise UsageError(f"{model}: no input has a dimension for --batch {request.batch}", hint="leave out --batch")
    if request.batch is not None:
        if given not in (None, request.batch):
            raise UsageError(
                f"{model}: --batch {request.batch} and --shape contradict: the batch there is {given}",
                hint="leave one of them out",
            )
        if isinstance(fixed, int) and fixed != request.batch and first is not None:
            raise UsageError(
                f"{model}: the file fixes the batch of input {first.name!r} at {fixed}, asked was {request.batch}",
                hint=f"take --batch {fixed}, or export the model with a free batch",
            )
        return request.batch
    if given is not None:
        return given
    return fixed if isinstance(fixed, int) else 1


def _open(value: TensorSignature, size: str | None, model: str) -> UsageError:
    spelled = "x".join(str(s) if isinstance(s, int) else "SIZE" for s in value.shape)
    hint = f"give it with --shape {size}=SIZE" if size else f"give all of it with --shape {value.name}={spelled}"
    return UsageError(f"{model}: input {value} leaves dimension {size or '?'} open beside the batch", hint=hint)


def _known_names(models: Mapping[str, Sequence[TensorSignature]], request: InputRequest) -> None:
    """UsageError for a name in the request that is no input's and no dimension's of any model."""
    inputs = {value.name for signatures in models.values() for value in signatures}
    symbols = {symbol for signatures in models.values() for symbol in _symbols(signatures)}
    for name, shape in request.shapes.items():
        if name in inputs or (len(shape) == 1 and name in symbols):
            continue
        near = difflib.get_close_matches(name, inputs | symbols, n=1)
        known = f"inputs: {', '.join(sorted(inputs))}; open dimensions: {', '.join(sorted(symbols)) or 'none'}"
        raise UsageError(
            f"--shape names {name!r}, which no model has", hint=f"did you mean {near[0]!r}?" if near else known
        )


def _symbols(signatures: Iterable[TensorSignature]) -> list[str]:
    return [size for value in signatures for size in value.shape if isinstance(size, str)]


def _dtype(signature: TensorSignature) -> np.dtype:
    if signature.element not in DTYPES:
        raise UsageError(
            f"input {signature} is of a type that cannot be made up or read from a file",
            hint="export the model with tensors of numbers as inputs",
        )
    return np.dtype(DTYPES[signature.element])


def _fitted(
    arrays: Mapping[str, np.ndarray], signatures: Sequence[TensorSignature], order: Sequence[str], model: str, file: str
) -> dict[str, np.ndarray]:
    """The arrays by the names of this model, checked. Arrays that np.savez numbered are taken in order.

    That is the order of the first model, if this one has the same names.
    """
    wanted = [value.name for value in signatures]
    if set(wanted) != set(arrays):
        unnamed = [f"arr_{i}" for i in range(len(wanted))]
        if set(arrays) != set(unnamed):
            missing = ", ".join(name for name in wanted if name not in arrays)
            surplus = ", ".join(name for name in arrays if name not in wanted)
            lacks = "; ".join(filter(None, [missing and f"no {missing}", surplus and f"{surplus} besides"]))
            takes = ", ".join(map(str, signatures))
            raise UsageError(f"{file} does not fit {model}: it has {lacks}", hint=f"the model takes {takes}")
        arrays = {name: arrays[number] for name, number in zip(in_order_of(order, wanted), unnamed, strict=True)}
    return {value.name: _checked(arrays[value.name], value, model, file) for value in signatures}


def _checked(array: np.ndarray, value: TensorSignature, model: str, file: str) -> np.ndarray:
    dtype = _dtype(value)
    has = f"{file} has {value.name} as {array.dtype} {list(array.shape)}"
    fits = len(array.shape) == len(value.shape) and all(
        not isinstance(known, int) or size == known for size, known in zip(array.shape, value.shape, strict=True)
    )
    if not fits:
        raise UsageError(f"{has}, {model} takes {value}")
    if not array.size:
        raise UsageError(f"{has}: there is nothing in it", hint="save at least one sample in the .npz file")
    if array.dtype.kind not in "fiub" or not np.can_cast(array.dtype, dtype, casting="same_kind"):
        raise UsageError(f"{has}, {model} takes {value}", hint=f"convert it: array.astype(np.{dtype.name})")
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    lost = dtype.kind in "iu" and not np.array_equal(cast, array)
    if lost or (dtype.kind == "f" and np.isfinite(array).all() and not np.isfinite(cast).all()):
        raise UsageError(
            f"{has}, whose values do not fit into {value.element}, which {model} takes",
            hint="save the array in the type that the model takes",
        )
    return np.ascontiguousarray(cast)


def _batch_of(feeds: Feeds, signatures: Sequence[TensorSignature], asked: int | None, model: str) -> int:
    """The samples in the arrays, by the batch dimension of the model; 1 for a model of scalars."""
    symbol = batch_symbol(signatures)
    sizes: dict[str, int] = {}
    for value in signatures:
        for known, size in zip(value.shape, feeds[value.name].shape, strict=True):
            if isinstance(known, str) and sizes.setdefault(known, size) != size:
                raise UsageError(
                    f"{model}: dimension {known!r} is {sizes[known]} in one array and {size} in another",
                    hint="save arrays that agree in it",
                )
    first = next((value for value in signatures if value.shape), None)
    batch = sizes[symbol] if symbol is not None else feeds[first.name].shape[0] if first is not None else 1
    if asked not in (None, batch):
        raise UsageError(f"--batch {asked}, but the arrays of --inputs hold {batch}", hint="leave out --batch")
    return batch
