"""What made-up processors and GPUs can do, and what a real one is told to be."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.errors import UsageError
from condensa_core.platforms import FEATURES, INSTRUCTION_SETS, Gpu, Platform, Processor, gpus, processor
from condensa_core.platforms.processor import processor_told

DOCS = Path(__file__).parents[2] / "docs" / "platforms.md"
TWO_CORES = """\
processor\t: 0
model name\t: Some CPU @ 2 GHz
flags\t\t: fpu avx2 avx512_vnni
vmx flags\t: amx_tile

processor\t: 1
model name\t: Some CPU @ 2 GHz
flags\t\t: fpu avx2
"""


def cpu(*flags):
    return Platform("onnxruntime", "cpu", Processor("made up", frozenset(flags)), None)


def gpu(capability):
    card = None if capability is None else Gpu("made up", capability)
    return Platform("torch", "cuda", Processor("beside it", frozenset(INSTRUCTION_SETS)), card)


@pytest.mark.parametrize(
    ("platform", "features"),
    [
        (cpu("avx", "avx2", "fma", "f16c"), ["avx2"]),  # Haswell
        (cpu("avx2", "avx512f", "avx512vl"), ["avx2", "avx512"]),  # Skylake-X: no 8-bit dot products
        (cpu("avx2", "avx_vnni"), ["avx2", "int8-dot"]),  # Alder Lake
        (
            cpu("avx2", "avx512f", "avx512_vnni", "avx512_fp16", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"),
            ["avx2", "avx512", "amx", "int8-dot", "fp16", "bf16"],  # Sapphire Rapids
        ),
        (cpu("asimd"), ["neon"]),  # Cortex-A72
        (cpu("asimd", "asimddp", "asimdhp", "i8mm", "bf16"), ["neon", "int8-dot", "fp16", "bf16"]),  # Neoverse V1
        (cpu(), []),
        (gpu(60), ["fp16", "cuda"]),  # P100
        (gpu(61), ["int8-dot", "cuda"]),  # GTX 1080
        (gpu(70), ["int8-dot", "fp16", "cuda"]),  # V100
        (gpu(80), ["int8-dot", "fp16", "bf16", "sparse-2:4", "cuda"]),  # A100
        (gpu(90), ["int8-dot", "fp16", "bf16", "fp8", "sparse-2:4", "cuda"]),  # H100
        (gpu(None), []),
    ],
)
def test_known_hardware_has_what_its_maker_says(platform, features):
    assert list(platform.features) == features


def test_the_reason_names_the_device_that_was_asked():
    untold = Platform("onnxruntime", "cpu", Processor("M1", None), None)

    assert cpu("avx2").why_not("fp16") == "fp16 is not on this machine's CPU"
    assert untold.why_not("fp16") == "this system does not tell whether its CPU has fp16"
    assert cpu("avx2").why_not("fp8") == "fp8 is of GPUs, and the target is on the cpu"
    assert gpu(70).why_not("fp8") == "fp8 is not on this machine's GPU (made up, sm70)"
    assert gpu(None).why_not("fp8") == "this machine has no NVIDIA GPU to have fp8"
    assert gpu(90).why_not("amx") == "amx is of CPUs, and the target is on cuda"


@given(st.lists(st.integers(50, 121), min_size=1, max_size=3, unique=True), st.sampled_from([None, 61, 90]))
def test_what_is_built_for_gpus_has_what_all_of_them_have(capabilities, here):
    built = replace(gpu(here), arch=tuple(capabilities))

    assert set(built.features) == set.intersection(*(set(gpu(each).features) for each in capabilities))
    assert built.hardware == ", ".join(f"sm{each}" for each in capabilities)


@given(st.sets(st.sampled_from(INSTRUCTION_SETS)), st.sampled_from(INSTRUCTION_SETS))
def test_one_more_flag_never_takes_a_feature_away(flags, more):
    assert set(cpu(*flags).features) <= set(cpu(*flags, more).features)


def test_an_unknown_feature_or_device_is_refused():
    with pytest.raises(UsageError, match="did you mean 'int8-dot'"):
        cpu().has("int8dot")
    with pytest.raises(UsageError, match="known: cpu, cuda"):
        Platform("torch", "tpu", Processor("x", None), None)


def test_every_flag_that_decides_is_one_that_is_kept():
    assert {flag for feature in FEATURES.values() for flag in feature.flags} <= set(INSTRUCTION_SETS)


def test_a_flag_counts_where_every_core_has_it():
    told = processor_told(TWO_CORES, "x86_64")

    assert told == Processor("Some CPU @ 2 GHz", frozenset({"avx2"}))


def test_arm_tells_features_and_no_name():
    told = processor_told("processor : 0\nFeatures : fp asimd asimddp\nCPU part : 0xd0c\n", "aarch64")

    assert told == Processor("aarch64", frozenset({"asimd", "asimddp"}))


def test_a_system_that_tells_nothing_has_no_flags_rather_than_none_of_them():
    assert processor_told("", "arm64") == Processor("arm64", None)


def test_this_machine_is_asked():
    here = Platform.here()

    assert here.processor == processor() and here.hardware == processor().name
    assert set(here.features) <= set(FEATURES)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15\nGCC version: 12.2",
            "535.104.05",
        ),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54  Release Build  (dvs-builder@U16-A1)\n",
            "550.54",
        ),
        ("nothing of the kind", None),
    ],
)
def test_the_driver_tells_its_version(monkeypatch, tmp_path, text, version):
    file = tmp_path / "version"
    file.write_text(text)
    monkeypatch.setattr(gpus, "_VERSION", file)

    assert gpus.driver_version() == version


def test_the_table_in_the_documentation_is_this_one():
    rows = re.findall(r"^\| `(\S+)` \| (.*) \| (.*) \| (.*) \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)

    def gpus_text(feature):
        if not feature.since:
            return "–" if feature.since is None else "all"
        lacking = " except " + ", ".join(f"sm{c}" for c in feature.but_not) if feature.but_not else ""
        return f"from sm{feature.since}{lacking}"

    table = [(f.name, f.gives, ", ".join(f.flags) or "–", gpus_text(f)) for f in FEATURES.values()]
    assert [row for row in rows if row[0] in FEATURES] == table


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL))
def test_the_examples_in_the_documentation_run(code):
    exec(compile(code, str(DOCS), "exec"), {})
