"""The files of a run directory changed: journals line by line, checkpoints by header and bytes, the rest as JSON."""

from __future__ import annotations

import copy
import json
import random
import struct
import zlib
from typing import Any

from byte_mutations import mutated_bytes
from safetensors import SafetensorError
from safetensors.torch import load
from tree_mutations import any_value, mutated_tree

from condensa_core.learning.checkpoint import _digest


def mutated_json(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """A document changed as a tree, or byte by byte."""
    if draw.random() < 0.3:
        return mutated_bytes([content], draw)
    name, tree = mutated_tree([json.loads(content)], draw)
    return name, _dumped(tree)


def mutated_journal(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """Records changed under a right checksum or a stale one, lines moved, or bytes."""
    kind = draw.random()
    if kind < 0.25:
        return mutated_bytes([content], draw)
    lines = content.splitlines(keepends=True)
    at = draw.randrange(len(lines))
    if kind < 0.4:
        moves = {
            "line left out": lines[:at] + lines[at + 1 :],
            "line twice": [*lines[: at + 1], *lines[at:]],
            "line moved": [*lines[:at], *lines[at + 1 :], lines[at]],
            "line torn": [*lines[:at], lines[at][: draw.randrange(len(lines[at]))]],
            "line torn inside": [*lines[:at], lines[at][: draw.randrange(len(lines[at]))], b"\n", *lines[at + 1 :]],
            "lines left out": lines[:1] + lines[1 + at :],
            "empty lines": [*lines[:at], b"\n" * draw.choice((1, 3)), *lines[at:]],
            "file twice": lines * 2,
        }
        name = draw.choice(list(moves))
        return name, b"".join(moves[name])
    records = [json.loads(line)["record"] for line in lines]
    if kind < 0.5:
        records[at] = any_value(draw)
        name = "another value for a record"
    else:
        part = records[at].get("payload", records[at])
        name, changed = mutated_tree([part, *(r.get("payload", r) for r in records)], random.Random(draw.random()))
        if draw.random() < 0.5:
            name, changed = mutated_tree([part], draw)
        if "payload" in records[at]:
            records[at] = {**records[at], "payload": changed}
            if draw.random() < 0.05:
                records[at]["kind"] = draw.choice(("profile", "trial-ended", "trial-started", "x", "", None, 3, [1]))
        else:
            records[at] = changed
        name = f"record {name}"
    intact = draw.random() < 0.85
    sealed = [_sealed(r) if intact or i != at else lines[at].replace(b"1", b"2") for i, r in enumerate(records)]
    return name, b"".join(sealed)


def mutated_checkpoint(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """A safetensors file: its header as a tree, the facts in its header, its declared length, or bytes."""
    kind = draw.random()
    if kind < 0.3:
        return mutated_bytes([content], draw)
    (size,) = struct.unpack("<Q", content[:8])
    head, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    if kind < 0.4:
        declared = draw.choice((0, 1, size - 1, size + 1, 2**31, 2**40, 2**63, 2**64 - 1))
        return "declared length", struct.pack("<Q", declared) + content[8:]
    if kind < 0.7:
        facts = json.loads(head["__metadata__"]["facts"])
        name, facts = mutated_tree([facts], draw)
        head["__metadata__"]["facts"] = _dumped(facts).decode()
        return f"facts {name}", _sealed_again(_tensors(head, data), draw)
    if kind < 0.9:
        changed = copy.deepcopy(head)
        name = draw.choice([key for key in changed if key != "__metadata__"])
        entry = changed[name]
        offsets = entry["data_offsets"]
        forms: dict[str, Any] = {
            "shape": {
                **entry,
                "shape": draw.choice(([], [0], [-1], [2**62], [2**40, 2**40], "x", None, [1, *entry["shape"]])),
            },
            "dtype": {**entry, "dtype": draw.choice(("F64", "F16", "I64", "BOOL", "X", None, 3))},
            "offsets": {**entry, "data_offsets": draw.choice(([0, 0], [5, 1], [0, 2**62], [-1, 4], [], None))},
            "overlap": {**entry, "data_offsets": [max(0, offsets[0] - 4), max(0, offsets[1] - 4)]},
        }
        form = draw.choice([*forms, "left out", "renamed", "more"])
        if form in forms:
            changed[name] = forms[form]
        elif form == "left out":
            del changed[name]
        elif form == "renamed":
            changed[draw.choice(("live/x", "x", "live", "best/../x", "nowhere/w", ""))] = changed.pop(name)
        else:
            changed["live/more"] = entry
        return f"tensor {form}", _sealed_again(_tensors(changed, data), draw)
    numbers = bytearray(data)
    for _ in range(draw.choice((1, 8))):
        at = draw.randrange(max(1, len(numbers) // 4)) * 4
        numbers[at : at + 4] = struct.pack("<f", draw.choice((float("nan"), float("inf"), 1e38, -1e38, 1e-40)))
    return "weights", _sealed_again(_tensors(head, bytes(numbers)), draw)


def _sealed_again(content: bytes, draw: random.Random) -> bytes:
    """The file with the digest that its new content has, mostly: whoever forges a file can forge that too."""
    if draw.random() < 0.15:
        return content
    try:
        tensors = load(content)
    except SafetensorError:
        return content
    (size,) = struct.unpack("<Q", content[:8])
    head = json.loads(content[8 : 8 + size])
    head["__metadata__"]["digest"] = _digest(head["__metadata__"]["of"], head["__metadata__"]["facts"], tensors)
    return _tensors(head, content[8 + size :])


def _tensors(head: Any, data: bytes) -> bytes:
    header = _dumped(head)
    return struct.pack("<Q", len(header)) + header + data


def _sealed(record: Any) -> bytes:
    text = json.dumps(record, separators=(",", ":"))
    return f'{{"crc32":"{zlib.crc32(text.encode()):08x}","record":{text}}}\n'.encode()


def _dumped(tree: Any) -> bytes:
    return json.dumps(tree).encode()
