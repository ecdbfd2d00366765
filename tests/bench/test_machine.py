from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version

import pytest

from condensa_core.bench import describe_machine
from condensa_core.bench.silicon import caches, cores_allowed, processor_kinds
from condensa_core.platforms import Gpu


def test_this_machine_is_described():
    machine = describe_machine()

    assert machine.cpu
    assert 1 <= machine.cores_physical <= machine.cores_logical
    assert 1 <= machine.cores_usable <= machine.cores_logical
    assert machine.memory_bytes > 2**28
    assert machine.versions["torch"] == version("torch")
    assert machine.versions["onnxruntime"] == version("onnxruntime")
    assert json.loads(json.dumps(machine.to_json()))["fingerprint"] == machine.fingerprint


def test_gpus_are_those_the_driver_gives(monkeypatch):
    monkeypatch.setattr("condensa_core.bench.machine.nvidia_gpus", lambda: (Gpu("NVIDIA L4", 89), Gpu("NVIDIA T4", 75)))

    assert describe_machine().gpus == ("NVIDIA L4", "NVIDIA T4")


def test_the_fingerprint_follows_the_machine_and_not_its_load():
    machine = describe_machine()

    assert replace(machine, load_average=(99.0, 99.0, 99.0)).fingerprint == machine.fingerprint
    assert replace(machine, cpu_flags=(*machine.cpu_flags, "amx_int8")).fingerprint != machine.fingerprint
    assert replace(machine, versions={**machine.versions, "torch": "1.0"}).fingerprint != machine.fingerprint
    assert replace(machine, cpu_kinds=("cpu family 26, model 1, stepping 0",)).fingerprint != machine.fingerprint
    assert replace(machine, gpu_driver="1.0").fingerprint != machine.fingerprint
    assert replace(machine, cores_allowed=0.5).fingerprint != machine.fingerprint
    assert len(machine.fingerprint) == 12


GENOA = "processor\t: {}\ncpu family\t: {}\nmodel\t\t: {}\nmodel name\t: AMD EPYC\nstepping\t: 1\n"
ARM = "processor\t: {}\nCPU implementer\t: 0x41\nCPU variant\t: 0x3\nCPU part\t: {}\nCPU revision\t: 1\n"


@pytest.mark.parametrize(
    ("cores", "kinds"),
    [
        ([GENOA.format(0, 25, 17), GENOA.format(1, 25, 17)], ("cpu family 25, model 17, stepping 1",)),
        ([GENOA.format(0, 26, 1)], ("cpu family 26, model 1, stepping 1",)),
        (
            [ARM.format(0, "0xd0c"), ARM.format(1, "0xd40")],
            tuple(
                f"CPU implementer 0x41, CPU variant 0x3, CPU part {part}, CPU revision 1" for part in ("0xd0c", "0xd40")
            ),
        ),
        ([], ()),
    ],
)
def test_processors_of_one_name_are_told_apart(tmp_path, cores, kinds):
    (tmp_path / "cpuinfo").write_text("\n".join(cores))

    assert processor_kinds(tmp_path / "cpuinfo") == kinds
    assert processor_kinds(tmp_path / "missing") == ()


def test_caches_are_told_by_level(tmp_path):
    for index, facts in enumerate([("1", "Data", "32K"), ("3", "Unified", "32768K")]):
        (tmp_path / f"index{index}").mkdir()
        for name, fact in zip(("level", "type", "size"), facts, strict=True):
            (tmp_path / f"index{index}" / name).write_text(fact + "\n")

    assert caches(tmp_path) == ("L1 Data 32K", "L3 Unified 32768K")


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "50000 100000\n"}, 0.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_a_container_may_have_less_than_a_core(tmp_path, files, cores):
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    assert cores_allowed(tmp_path) == cores


def test_measuring_room_loads_without_any_runtime():
    code = (
        "import sys, condensa_core.bench as bench; bench.describe_machine(); "
        "print([m for m in ('torch', 'onnx', 'onnxruntime') if m in sys.modules])"
    )

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "[]"
