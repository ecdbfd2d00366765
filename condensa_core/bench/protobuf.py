"""Protobuf messages read field by field, so that a file of gigabytes costs no more than its fields.

Source: the wire format of protocol buffers, protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def mapped(path: Path) -> memoryview:
    """The file's bytes, read where they are looked at; ValueError for an empty file."""
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field in order: an integer, or the bytes of what has a length; nothing is copied.

    ValueError where the bytes are no such message.
    """
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == _BYTES:
            length, at = _varint(message, at)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if not number or at + length > end:
            raise ValueError(f"a field of {length} bytes at byte {at} of {end}")
        yield number, message[at : at + length]
        at += length


def message(value: int | memoryview) -> memoryview:
    """The bytes of a field that must have a length; ValueError for a number."""
    if isinstance(value, int):
        raise ValueError("a number where a message should be")
    return value


def text(value: int | memoryview) -> str:
    """The field as UTF-8."""
    return bytes(message(value)).decode()


def number(value: int | memoryview) -> int:
    """The field as a signed 64-bit number."""
    if not isinstance(value, int):
        raise ValueError("bytes where a number should be")
    return value - (1 << 64) if value >> 63 else value


def numbers(value: int | memoryview) -> list[int]:
    """One number, or the packed ones of a repeated field."""
    if isinstance(value, int):
        return [number(value)]
    found, at = [], 0
    while at < len(value):
        one, at = _varint(value, at)
        found.append(number(one))
    return found


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that starts at `at`, and where the next field starts."""
    value = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError(f"a number without an end at byte {at}")
