from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version

from condensa_core.bench import describe_machine


def test_this_machine_is_described():
    machine = describe_machine()

    assert machine.cpu
    assert 1 <= machine.cores_physical <= machine.cores_logical
    assert 1 <= machine.cores_usable <= machine.cores_logical
    assert machine.memory_bytes > 2**28
    assert machine.versions["torch"] == version("torch")
    assert machine.versions["onnxruntime"] == version("onnxruntime")
    assert json.loads(json.dumps(machine.to_json()))["fingerprint"] == machine.fingerprint


def test_the_fingerprint_follows_the_machine_and_not_its_load():
    machine = describe_machine()

    assert replace(machine, load_average=(99.0, 99.0, 99.0)).fingerprint == machine.fingerprint
    assert replace(machine, cpu_flags=(*machine.cpu_flags, "amx_int8")).fingerprint != machine.fingerprint
    assert replace(machine, versions={**machine.versions, "torch": "1.0"}).fingerprint != machine.fingerprint
    assert len(machine.fingerprint) == 12


def test_measuring_room_loads_without_any_runtime():
    code = (
        "import sys, condensa_core.bench as bench; bench.describe_machine(); "
        "print([m for m in ('torch', 'onnx', 'onnxruntime') if m in sys.modules])"
    )

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "[]"
