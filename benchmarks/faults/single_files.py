"""Faults while a command writes the one file it was asked for: the old file stays, or the new one is whole."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from forks import told_well
from google.protobuf.message import DecodeError
from ground import Ground
from onnx import TensorProto, helper, numpy_helper
from scene import Scene

from condensa_core.export import pack_onnx

OLD: Final = b'what was there before, and might be replaced: "condensa.bench/2" <title>condensa'
OPERATIONS: Final = 8  # no command makes more of them on its file; where there are fewer nothing happens
FOLDER: Final = "made"


def cases_of_commands() -> Iterator[tuple[str, Callable[[Ground], list[dict[str, Any]]]]]:
    """Names and what carries them out: each operation on the file fails, or is the last that the process makes."""
    for command in _COMMANDS:
        if command == "engine" and importlib.util.find_spec("tensorrt_rtx") is None:
            continue
        yield f"{command}-fails", lambda g, c=command: each_operation(g, c, errno.ENOSPC)
        yield f"{command}-killed", lambda g, c=command: each_operation(g, c, 0)


def each_operation(ground: Ground, command: str, error: int) -> list[dict[str, Any]]:
    """A record for each operation on the file, which fails with `error`, or is the last one where that is 0."""
    records = []
    for at in range(1, OPERATIONS + 1):
        scene = ground.scene()
        arguments, target = _COMMANDS[command](scene)
        target.parent.mkdir()
        target.write_bytes(OLD)
        first = ground.forks.carry_out(scene, arguments, fault={"at": at, "error": error}, part=f"/{FOLDER}/")
        if first["code"] in (0, 1) and not first["failed"]:
            break
        records.append(_judged(ground, scene, command, target, at, first))
        again = ground.forks.carry_out(scene, arguments)
        new = again["code"] in (0, 1) and _whole(command, target)
        records[-1] |= {"resumed": 0 if new else again["code"], "by": "run"}
    return records


def _judged(ground: Ground, scene: Scene, command: str, target: Path, at: int, first: dict[str, Any]) -> dict[str, Any]:
    found = target.read_bytes()
    whole = found == OLD if first["code"] in (2, 3, 4) else found == OLD or _whole(command, target)
    record = {"what": f"operation {at} on {target.name}", "code": first["code"], "same": whole}
    record |= {"older_intact": ground.older_intact(scene), "lost": 0, "repeated": 0, "message": first["said"][-1000:]}
    if first["code"] != -signal.SIGKILL:  # a kill leaves what was in the making, under another name
        record["told"] = told_well(scene, first["said"])
        record["left"] = [file.name for file in target.parent.iterdir() if file != target]
    return record


def _whole(command: str, target: Path) -> bool:
    """Whether the file is one that the command could have written, to its last byte."""
    content = target.read_bytes()
    if command == "bench":
        try:
            return json.loads(content)["schema"] == "condensa.bench/2"
        except ValueError:
            return False
    if command == "report":
        return content.rstrip().endswith(b"</html>")
    if command == "unpack":
        try:
            onnx.checker.check_model(onnx.load_from_string(content))
        except (DecodeError, onnx.checker.ValidationError):
            return False
        return True
    return any(_sha256(file) == _sha256(target) for file in target.parents[1].glob("cache/engines/**/*.engine"))


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _older_run(scene: Scene) -> Path:
    (directory,) = (scene.disk / "runs" / "older").iterdir()
    return directory


def _bench(scene: Scene) -> tuple[list[str], Path]:
    target = scene.disk / FOLDER / "baseline.json"
    model = _older_run(scene) / "best" / "model.onnx"
    return ["bench", str(model), "--seconds", "0.1", "--rounds", "3", "--save-baseline", str(target)], target


def _engine(scene: Scene) -> tuple[list[str], Path]:
    target = scene.disk / FOLDER / "model.engine"
    model = _older_run(scene) / "best" / "model.onnx"
    return ["engine", str(model), "--for", "sm89", "--force", "-o", str(target)], target


def _unpack(scene: Scene) -> tuple[list[str], Path]:
    target = scene.disk / FOLDER / "model.onnx"
    packed = scene.folder / "model.packed.onnx"
    plain = scene.folder / "plain.onnx"
    shape = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 64]) for name in ("x", "y")}
    signs = numpy_helper.from_array(np.sign(np.random.default_rng(0).normal(size=(64, 64))).astype("float32"), "w")
    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([product], "signs", [shape["x"]], [shape["y"]], [signs])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), plain)
    pack_onnx(plain, packed)
    return ["unpack", str(packed), "--force", "-o", str(target)], target


def _report(scene: Scene) -> tuple[list[str], Path]:
    target = scene.disk / FOLDER / "report.html"
    return ["report", str(_older_run(scene)), "--html", str(target)], target


_COMMANDS: Final[dict[str, Callable[[Scene], tuple[list[str], Path]]]] = {
    "bench": _bench,
    "unpack": _unpack,
    "engine": _engine,
    "report": _report,
}
