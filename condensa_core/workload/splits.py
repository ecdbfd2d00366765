"""The samples a run works with: train to learn from, val to steer by, test to read once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from condensa_core.errors import WorkloadError
from condensa_core.randomness import Seed
from condensa_core.workload.augmentation import Augmentation, augmentation_named
from condensa_core.workload.batches import Batch, Batches, Standardise, TensorBatches
from condensa_core.workload.datasets import (
    DataOptions,
    DataSource,
    ImageSet,
    Labelled,
    TextSource,
    data_options,
    dataset_named,
)
from condensa_core.workload.digest import content_digest
from condensa_core.workload.known_samples import KnownSamples, known_samples
from condensa_core.workload.own_data import declared_classes, own_batches
from condensa_core.workload.partition import stratified_holdout
from condensa_core.workload.python_sources import source_digest
from condensa_core.workload.windows import WindowBatches

if TYPE_CHECKING:
    from condensa_core.recipe import DataSpec

_READING_ELEMENTS = 2**22  # of one batch that is only read: 512 images of 28 x 28, 27 of 3 x 224 x 224
_READING_BATCH = 512
_READING_SCORES = 2**23  # of one batch of text: 512 windows of 64 bytes
_TOKENS_LEARNED = 6_000_000  # by a reference: minutes of two CPU cores for a byte LSTM of 0.7 M parameters


@dataclass(frozen=True)
class SampleShape:
    """What a model must fit: how many classes, and the shape of one input without the batch.

    `vocabulary` is None for inputs of floating point; inputs of text are ids of tokens below it, and there is a target
    for every token.
    """

    classes: int
    input_shape: tuple[int, ...]
    vocabulary: int | None = None


@dataclass(frozen=True)
class Splits:
    """Fixed, disjoint splits. `calib` is None unless the recipe names it.

    `fingerprint` is a SHA-256 over what training and judging see: samples, split, preparation, augmentation.
    `epochs` is how long a reference should train on this data. `vocabulary` is as in `SampleShape`. `known` says by
    what the splits of the user's own data are known, by name; of any other all samples are hashed.
    """

    train: Batches
    val: Batches
    test: Batches | None
    calib: Batches | None
    classes: int
    input_shape: tuple[int, ...]
    fingerprint: str
    epochs: int
    vocabulary: int | None = None
    known: Mapping[str, KnownSamples] = field(default_factory=dict)

    @property
    def known_by(self) -> dict[str, str]:
        """What of each split the fingerprint is of, in words."""
        parts = {"train": self.train, "val": self.val, "test": self.test, "calib": self.calib}
        told = {name: f"all {part.count} samples" for name, part in parts.items() if part is not None}
        return told | {name: known.how for name, known in self.known.items()}

    def check_classes(self, known: int) -> None:
        """WorkloadError, naming the part, where one of the user's own holds a class that is not among `known` many."""
        for name, part in self.known.items():
            if part.largest >= known:
                with _of_part(name):
                    raise WorkloadError(
                        f"data.{name} holds class {part.largest}, the model knows {known} classes, 0 to {known - 1}",
                        hint="build the model for as many classes as the data has, or mend the data",
                    )


@contextmanager
def _of_part(name: str) -> Iterator[None]:
    """A refusal inside the block is of that part of the recipe's `data:`."""
    try:
        yield
    except WorkloadError as err:
        err.key_path = err.key_path or ("data", name)
        raise


def load_splits(data: DataSpec, *, seed: Seed, directory: Path, allow_python: bool = True) -> Splits:
    """The splits a recipe's `data:` describes; paths are relative to `directory`.

    Built-in data: `val` is cut from the training part, stratified by class, as `seed` decides, unless it is published
    (image-folder may bring its own). `test` is the published test part; digits have none, so a fifth of them is set
    apart in the same way for every recipe and seed. Images are standardised per channel by the figures of `train`
    after the cut, without its augmentation. Text is cut by files, the same for every seed, and read in windows.
    Own data (`train: {python: ...}`) is used as it comes. WorkloadError for whatever does not fit.
    """
    if data.builtin is None:
        return _own_splits(data, seed, directory, allow_python)
    source = dataset_named(data.builtin)
    options = data_options(source.name, data.options, source.takes)
    if isinstance(source, TextSource):
        return _text_splits(source, options, directory, seed)
    return _image_splits(source, options, source.load(options, directory), seed)


def known_shape(data: DataSpec) -> SampleShape | None:
    """Classes and input shape of built-in data whose files need not be at hand to know; None for all other data."""
    source = None if data.builtin is None else dataset_named(data.builtin)
    if isinstance(source, TextSource):
        shape = source.shape(data_options(source.name, data.options, source.takes))
        return None if shape is None else SampleShape(shape[0], (shape[1],), vocabulary=shape[0])
    return None if source is None or source.shape is None else SampleShape(*source.shape)


def _text_splits(source: TextSource, options: DataOptions, directory: Path, seed: Seed) -> Splits:
    streams, vocabulary = source.streams(source.load(options, directory), options)
    length, batch = options.length or source.length, options.batch or source.batch
    if options.limit is not None:
        streams = {name: stream[: options.limit * length + 1] for name, stream in streams.items()}
    reading = max(1, min(_READING_BATCH, _READING_SCORES // (length * vocabulary)))
    parts = {
        name: WindowBatches(
            stream,
            length,
            batch if name == "train" else reading,
            seed=seed.child("workload", name),
            training=name == "train",
        )
        for name, stream in streams.items()
    }
    return Splits(
        train=parts["train"],
        val=parts["val"],
        test=parts.get("test"),
        calib=None,
        classes=vocabulary,
        input_shape=(length,),
        fingerprint=hashlib.sha256(f"{length}:{content_digest(streams.items())}".encode()).hexdigest(),
        epochs=min(30, max(1, round(_TOKENS_LEARNED / len(streams["train"])))),
        vocabulary=vocabulary,
    )


def _image_splits(source: DataSource, options: DataOptions, images: ImageSet, seed: Seed) -> Splits:
    name = options.augment or source.augment
    augmentation = augmentation_named(name)
    train, val = images.train, images.val
    if val is None:
        train, val = _cut(train, _held_count(source, options, len(train.targets)), seed)
    elif options.val_fraction is not None or options.val_count is not None:
        raise WorkloadError(f"data set {source.name!r} brings its own val part", hint="drop val_fraction and val_count")
    if int(train.targets.max()) >= images.classes:
        raise WorkloadError(
            f"data set {source.name!r} holds class {int(train.targets.max())} of {images.classes}",
            hint="the labels are damaged: put the original files in their place",
        )
    train, val = _limited(train, options.limit), _limited(val, options.limit)
    test = None if images.test is None else _limited(images.test, options.limit)
    prepare = Standardise.fitted(train.images)
    batch = options.batch or source.batch
    return Splits(
        train=_training(train, batch, seed, augmentation, prepare),
        val=_reading(val, batch, prepare),
        test=None if test is None else _reading(test, batch, prepare),
        calib=None,
        classes=images.classes,
        input_shape=tuple(train.images.shape[1:]),
        fingerprint=_fingerprint([train, val, test], name),
        epochs=source.epochs,
    )


def _held_count(source: DataSource, options: DataOptions, n: int) -> int:
    if options.val_count is not None:
        return options.val_count
    return max(1, round(n * (options.val_fraction or source.val_fraction)))


def _cut(part: Labelled, held: int, seed: Seed) -> tuple[Labelled, Labelled]:
    kept, cut = stratified_holdout(part.targets, held, seed.torch_generator("workload", "val"))
    return Labelled(part.images[kept], part.targets[kept]), Labelled(part.images[cut], part.targets[cut])


def _limited(part: Labelled, limit: int | None) -> Labelled:
    return part if limit is None else Labelled(part.images[:limit], part.targets[:limit])


def _training(
    part: Labelled, batch: int, seed: Seed, augmentation: Augmentation | None, prepare: Standardise
) -> TensorBatches:
    return TensorBatches(
        part.images,
        part.targets,
        batch,
        seed=seed.child("workload", "train"),
        training=True,
        augmentation=augmentation,
        prepare=prepare,
    )


def _reading(part: Labelled, batch: int, prepare: Standardise) -> TensorBatches:
    affordable = _READING_ELEMENTS // max(1, part.images[0].numel())
    return TensorBatches(part.images, part.targets, max(batch, min(_READING_BATCH, affordable)), prepare=prepare)


def _fingerprint(parts: Sequence[Labelled | None], augmentation: str) -> str:
    named = [
        (f"{position}.{name}", tensor)
        for position, part in enumerate(parts)
        if part is not None
        for name, tensor in (("images", part.images), ("targets", part.targets))
    ]
    return hashlib.sha256(f"{augmentation}:{content_digest(named)}".encode()).hexdigest()


def _own_splits(data: DataSpec, seed: Seed, directory: Path, allow_python: bool) -> Splits:
    sources: Mapping[str, Any] = {name: getattr(data, name) for name in ("train", "val", "test", "calib")}
    for name in ("train", "val"):
        if sources[name] is None:
            raise WorkloadError(f"data has no {name!r} part", hint="name a built-in data set, or both train and val")
    parts, firsts = dict[str, Batches](), dict[str, Batch]()
    for name in (name for name, source in sources.items() if source is not None):
        with _of_part(name):
            parts[name] = own_batches(
                sources[name],
                name=f"data.{name}",
                training=name == "train",
                seed=seed.child("workload", name),
                directory=directory,
                allow_python=allow_python,
            )
            firsts[name] = next(iter(parts[name]))
    shapes = {name: tuple(inputs.shape[1:]) for name, (inputs, _) in firsts.items()}
    for name, shape in shapes.items():
        if shape != shapes["train"]:
            raise _unlike(name, f"shape {shape}", shapes["train"])
    reads_tokens = {name: not inputs.is_floating_point() for name, (inputs, _) in firsts.items()}
    if len(set(reads_tokens.values())) > 1:
        raise WorkloadError(
            "some parts of data give token ids and others do not: " + ", ".join(reads_tokens),
            hint="give integers for all parts, or floating point for all",
        )
    dtypes = {name: inputs.dtype for name, (inputs, _) in firsts.items()}
    for name, dtype in dtypes.items():
        if dtype != dtypes["train"]:
            raise _unlike(name, dtype, dtypes["train"])
    declared = {name: declared_classes(part) for name, part in parts.items()}
    known = dict[str, KnownSamples]()
    for name, part in parts.items():
        with _of_part(name):
            known[name] = known_samples(part, firsts[name], whole=declared[name] is None)
    classes = max(declared[name] or known[name].largest + 1 for name in parts)
    digests = {name: of.digest for name, of in known.items()}
    for name in (name for name, of in known.items() if of.restless):  # what stands still are its code and arguments
        source = sources[name]
        given = json.dumps(source.args, sort_keys=True, default=str)
        digests[name] += f"{source_digest(source.python, directory)}{given}"
    fingerprint = hashlib.sha256("".join(f"{name}:{digest};" for name, digest in digests.items()).encode())
    return Splits(
        train=parts["train"],
        val=parts["val"],
        test=parts.get("test"),
        calib=parts.get("calib"),
        classes=classes,
        input_shape=shapes["train"],
        fingerprint=fingerprint.hexdigest(),
        epochs=_own_epochs(parts["train"].count),
        vocabulary=classes if reads_tokens["train"] else None,
        known=known,
    )


def _unlike(name: str, given: object, train: object) -> WorkloadError:
    refusal = WorkloadError(
        f"data.{name} gives inputs of {given}, data.train of {train}", hint="prepare the samples of all splits alike"
    )
    refusal.key_path = ("data", name)
    return refusal


def _own_epochs(count: int) -> int:
    """About 600,000 samples seen, within 10..30 epochs: a guess for data nobody has trained on before."""
    return min(30, max(10, round(600_000 / count)))
