"""Text as numbers: bytes, characters or words, and which of them a vocabulary knows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from condensa_core.errors import WorkloadError

Tokeniser = Callable[[str], Sequence[str]]

BYTES: Final = 256
UNKNOWN: Final = "<unk>"
END_OF_LINE: Final = "<eos>"
_WORDS: Final = re.compile(r"\w+|[^\w\s]|\n")


def characters(text: str) -> Sequence[str]:
    """Every character, line ends included."""
    return text


def words(text: str) -> Sequence[str]:
    """Runs of letters, digits and `_`, every other sign for itself, and line ends; spaces are dropped."""
    return _WORDS.findall(text)


def separated_words(text: str) -> Sequence[str]:
    """What stands between spaces, and `<eos>` at the end of every line: text that was cut into words before."""
    return [word for line in text.splitlines() for word in (*line.split(), END_OF_LINE)]


@dataclass(frozen=True)
class Vocabulary:
    """The tokens a model knows by their ids; number 0 is `<unk>` and stands for all others."""

    tokens: tuple[str, ...]

    @classmethod
    def of(cls, text: Iterable[str], size: int | None = None) -> Vocabulary:
        """The most frequent tokens of `text` (ties: in the order of the alphabet), `<unk>` counted in `size`."""
        counted = Counter(text)
        counted.pop(UNKNOWN, None)
        known = sorted(counted, key=lambda token: (-counted[token], token))
        return cls((UNKNOWN, *(known if size is None else known[: size - 1])))

    def __len__(self) -> int:
        return len(self.tokens)

    def ids(self, text: Iterable[str]) -> Tensor:
        """The ids of tokens, in one dimension (int32)."""
        number = {token: position for position, token in enumerate(self.tokens)}
        return torch.from_numpy(np.fromiter((number.get(token, 0) for token in text), dtype=np.int32))


def byte_ids(text: bytes) -> Tensor:
    """Bytes as they are (uint8): a vocabulary of 256 that every text has."""
    return torch.frombuffer(bytearray(text), dtype=torch.uint8)


def decoded(text: bytes, where: str) -> str:
    """UTF-8 as text, a byte order mark left out; WorkloadError names the offending byte."""
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise WorkloadError(
            f"{where} is not UTF-8: byte 0x{text[err.start]:02x} at {err.start}",
            hint="convert it, or read it with level: byte",
        ) from err
