"""Bytes changed without knowing what they mean: flips, cuts, splices, control characters, broken encodings."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

_INSERTED: Final = (
    b"\x00", b"\x07", b"\x1b[2J", b"\x1b]0;owned\x07", b"\x7f", b"\r", b"\r\n", b"\n", b"\t", b"\xff", b"\xfe\xff",
    b"\xef\xbb\xbf", b"\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x80\xae", b"\xe2\x80\xa8", b"\xc2\x85",
    b"\xef\xbf\xbe", b"{", b"}", b"[", b"]", b":", b": ", b",", b"#", b"'", b'"', b"|", b">", b"&a ", b"*a", b"!!x ",
    b"%", b"@", b"`", b"---\n", b"...\n", b"<<<<<<< x\n", b"9" * 30, b"-", b"? ",
)  # fmt: skip


def flipped(content: bytes, other: bytes, draw: random.Random) -> bytes:
    """One to eight bits turned over."""
    changed = bytearray(content)
    for _ in range(draw.randint(1, 8)):
        if changed:
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def replaced(content: bytes, other: bytes, draw: random.Random) -> bytes:
    """Up to sixteen bytes in a row made random."""
    at = draw.randrange(len(content) + 1)
    count = draw.randint(1, 16)
    return content[:at] + draw.randbytes(count) + content[at + count :]


def cut(content: bytes, other: bytes, draw: random.Random) -> bytes:
    """Ended early, begun late, or with a hole."""
    first, last = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    return draw.choice((content[:first], content[last:], content[:first] + content[last:]))


def repeated(content: bytes, other: bytes, draw: random.Random) -> bytes:
    """A stretch of it up to 50 times."""
    first, last = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    return content[:first] + content[first:last] * draw.randint(2, 50 if last - first < 2000 else 3) + content[last:]


def spliced(content: bytes, other: bytes, draw: random.Random) -> bytes:
    """Its start and the end of another."""
    return content[: draw.randrange(len(content) + 1)] + other[draw.randrange(len(other) + 1) :]


def inserted(content: bytes, other: bytes, draw: random.Random) -> bytes:
    """Up to four marks that some reader takes for syntax."""
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(content) + 1)
        content = content[:at] + draw.choice(_INSERTED) + content[at:]
    return content


def encoded(content: bytes, other: bytes, draw: random.Random) -> bytes:
    """Its text in another encoding, with another mark at the start or other line ends."""
    text = content.decode("utf-8", errors="replace")
    forms: tuple[Callable[[], bytes], ...] = (
        lambda: text.encode("utf-16"),
        lambda: text.encode("utf-32-le"),
        lambda: b"\xef\xbb\xbf" * draw.randint(1, 3) + content,
        lambda: text.replace("\n", "\r\n").encode(),
        lambda: text.replace("\n", "\r").encode(),
        lambda: text.replace("\n", "\x85").encode(),
        lambda: text.encode("cp037", errors="replace"),
        lambda: text.replace(" ", "\xa0").encode(),
        lambda: text.replace(" ", "\t").encode(),
    )
    return draw.choice(forms)()


BYTE_MUTATIONS: Final[tuple[Callable[[bytes, bytes, random.Random], bytes], ...]] = (
    flipped, replaced, cut, repeated, spliced, inserted, encoded,
)  # fmt: skip


def mutated_bytes(contents: Sequence[bytes], draw: random.Random) -> tuple[str, bytes]:
    """The name of what was done to one of `contents`, and the result."""
    change = draw.choice(BYTE_MUTATIONS)
    return f"bytes {change.__name__}", change(draw.choice(contents), draw.choice(contents), draw)
