"""What every built-in text hands over, and how it becomes ids: documents of each part as they were read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from torch import Tensor

from condensa_core.errors import WorkloadError
from condensa_core.workload.datasets.options import DataOptions
from condensa_core.workload.datasets.tokens import (
    BYTES,
    Tokeniser,
    Vocabulary,
    byte_ids,
    characters,
    decoded,
    words,
)

LEVELS: Final = ("byte", "char", "word")
_DEFAULT_CHARACTERS: Final = 1000
_DEFAULT_WORDS: Final = 10_000
_LENGTH: Final = 64


@dataclass(frozen=True)
class Text:
    """One part of a corpus: its bytes, and what messages call it."""

    content: bytes
    where: str


@dataclass(frozen=True)
class TextSet:
    """The parts of a corpus; `test` is None where there is none."""

    train: Text
    val: Text
    test: Text | None


@dataclass(frozen=True)
class TextSource:
    """A built-in text and the defaults that suit it; `tokenise` cuts it into words, `words` is the vocabulary's cap.

    `takes` names the options beyond those that every data set takes.
    """

    name: str
    load: Callable[[DataOptions, Path], TextSet]
    takes: frozenset[str]
    level: str = "byte"
    tokenise: Tokeniser = words
    words: int | None = _DEFAULT_WORDS
    batch: int = 32
    length: int = _LENGTH

    def shape(self, options: DataOptions) -> tuple[int, int] | None:
        """Size of the vocabulary and length of a window, where the options tell both."""
        return (BYTES, options.length or self.length) if self._level(options) == "byte" else None

    def streams(self, texts: TextSet, options: DataOptions) -> tuple[dict[str, Tensor], int]:
        """The ids of train, val and test (where there is one), and the size of the vocabulary, which train decides."""
        level = self._level(options)
        parts: Mapping[str, Text | None] = {"train": texts.train, "val": texts.val, "test": texts.test}
        given = {name: part for name, part in parts.items() if part is not None}
        if level == "byte":
            if options.vocabulary is not None:
                raise WorkloadError(
                    f"data set {self.name!r}: bytes are a vocabulary of {BYTES}, which cannot be set",
                    hint="leave data.vocabulary out",
                )
            return {name: byte_ids(part.content) for name, part in given.items()}, BYTES
        tokenise = characters if level == "char" else self.tokenise
        cap = options.vocabulary or (_DEFAULT_CHARACTERS if level == "char" else self.words)
        tokens = {name: tokenise(decoded(part.content, part.where)) for name, part in given.items()}
        vocabulary = Vocabulary.of(tokens["train"], cap)
        return {name: vocabulary.ids(part) for name, part in tokens.items()}, len(vocabulary)

    def _level(self, options: DataOptions) -> str:
        level = options.level or self.level
        if level not in LEVELS:
            raise WorkloadError(f"data set {self.name!r}: level {level!r} is not known", hint="known: byte, char, word")
        return level
