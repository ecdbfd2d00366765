"""Which TensorRT, for which GPUs; asked of records, since no GPU is here."""

import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.engines import Batches, Family, Gpu, capability_named, capability_text, family_named
from condensa_core.errors import MissingRuntime, UsageError

RTX = Family("tensorrt-rtx", "TensorRT for RTX", types.ModuleType("rtx"), "1.7", (75, 80, 86, 89, 120))
FULL = Family("tensorrt", "TensorRT", types.ModuleType("full"), "10.9", ())
H100, L4 = Gpu("NVIDIA H100", 90), Gpu("NVIDIA L4", 89)


def test_the_installed_one_names_what_it_builds_for():
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed, or not made for this platform")

    family = family_named("tensorrt-rtx")

    assert family.version == sys.modules["tensorrt_rtx"].__version__
    assert {86, 89, 120} <= set(family.capabilities)
    assert 90 not in family.capabilities


@pytest.mark.parametrize(
    ("name", "module", "hint"),
    [("tensorrt-rtx", "tensorrt_rtx", r"\[tensorrt\]"), ("tensorrt", "tensorrt", "pip install tensorrt")],
)
def test_a_missing_one_says_what_to_install(monkeypatch, name, module, hint):
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(MissingRuntime, match=f"is not installed.*{hint}"):
        family_named(name)


def test_an_unknown_one_suggests_a_known_one():
    with pytest.raises(UsageError, match="did you mean 'tensorrt-rtx'"):
        family_named("tensorrt-rxt")


def test_what_is_asked_for_goes_before_what_is_here():
    assert RTX.targets([89, 86, 89], []) == (86, 89)
    assert RTX.targets([120], [L4]) == (120,)
    assert RTX.targets([], [L4, H100]) == (89,)


def test_nothing_to_build_for_is_a_usage_error_that_lists_what_there_is():
    with pytest.raises(UsageError, match=r"no NVIDIA driver.*sm75, sm80, sm86, sm89, sm120"):
        RTX.targets([], [])


def test_an_unsupported_gpu_is_named_with_another_way():
    with pytest.raises(UsageError, match=r"does not support sm90 \(Hopper\).*ONNX Runtime's CUDA provider"):
        RTX.targets([89, 90], [])
    with pytest.raises(MissingRuntime, match=r"does not support sm90 \(Hopper\).*ONNX Runtime's CUDA provider"):
        RTX.targets([], [H100])  # nobody asked for it: it is the machine that cannot


def test_full_tensorrt_builds_for_the_gpu_at_hand():
    assert FULL.targets([], [H100]) == (90,)
    assert FULL.targets([90], [H100]) == (90,)
    with pytest.raises(UsageError, match=r"\(NVIDIA H100, sm90\), not for sm89"):
        FULL.targets([89], [H100])
    with pytest.raises(MissingRuntime, match=r"no NVIDIA driver.*tensorrt-rtx"):
        FULL.targets([90], [])


@given(st.integers(1, 12), st.integers(0, 9))
def test_all_spellings_of_a_capability_are_one(major, minor):
    spellings = [f"sm{major}{minor}", f"SM_{major}{minor}", f"{major}.{minor}", f"{major}{minor}"]

    assert {capability_named(text) for text in spellings} == {10 * major + minor}
    assert capability_text(10 * major + minor) == spellings[0]


@pytest.mark.parametrize("text", ["", "sm", "8.9.1", "ada", "-89", "sm8", "sm1234"])
def test_what_is_no_capability_is_refused(text):
    with pytest.raises(UsageError, match="no compute capability"):
        capability_named(text)


@pytest.mark.parametrize("sizes", [(0, 1, 1), (2, 1, 4), (1, 8, 4)])
def test_batches_rise(sizes):
    with pytest.raises(UsageError, match="must rise from at least 1"):
        Batches(*sizes)
