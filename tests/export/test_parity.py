from __future__ import annotations

import math
import sys

import pytest
import torch
from torch import nn

from condensa_core.errors import MissingRuntime, ParityError, UsageError
from condensa_core.export import OnnxModel, check_parity, compare_outputs, export_onnx, measure_parity, predict, require
from condensa_core.export.parity import compare

REFERENCE = torch.tensor([[1.0, 2.0, -4.0], [0.0, 3.0, 0.5]])


def parity_of(reference, other, tolerance=1e-4):
    return compare(lambda x: reference, lambda x: other, [torch.zeros(len(reference))], tolerance)


def test_figures_are_those_of_the_definition():
    other = REFERENCE.clone()
    other[1] = torch.tensor([0.0, 1.0, 1.5])

    parity = parity_of(REFERENCE, other)

    assert parity.max_abs == 2.0
    assert parity.max_rel == 0.5
    assert parity.top1_agreement == 0.5
    assert parity.count == 2
    expected = torch.cosine_similarity(REFERENCE.flatten().double(), other.flatten().double(), dim=0)
    assert parity.cosine == pytest.approx(float(expected), abs=1e-12)
    assert not parity.ok


def test_batches_are_judged_together():
    outputs = iter([REFERENCE, REFERENCE * 10, REFERENCE, REFERENCE * 10 + 0.4])

    parity = compare(lambda x: next(outputs), lambda x: next(outputs), [torch.zeros(2)] * 2, 1e-4)

    assert parity.max_abs == pytest.approx(36)  # the calls alternate: 1x against 10x, then 1x against 10x + 0.4
    assert parity.count == 4


def test_tolerance_is_the_last_accepted_value():
    assert parity_of(REFERENCE, REFERENCE + 0.5, tolerance=0.125).ok  # 0.5 / 4
    assert not parity_of(REFERENCE, REFERENCE + 0.5, tolerance=0.1249).ok


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("side", ["reference", "other", "both"])
def test_nothing_that_is_not_finite_passes(bad, side):
    broken = REFERENCE.clone()
    broken[0, 0] = bad
    sides = {"reference": (broken, REFERENCE), "other": (REFERENCE, broken), "both": (broken, broken)}

    parity = parity_of(*sides[side])

    assert not parity.ok
    with pytest.raises(ParityError, match="NaN or infinity"):
        require(parity, "m.onnx")


def test_zero_against_zero_is_the_same_and_against_anything_else_is_not():
    zero = torch.zeros(2, 3)

    assert parity_of(zero, zero).ok
    assert parity_of(zero, zero + 1e-9).max_rel == math.inf


def test_other_shapes_are_no_parity():
    with pytest.raises(ParityError, match=r"\[\(2, 3\)\] became \[\(2, 2\)\]"):
        parity_of(REFERENCE, REFERENCE[:, :2])


def test_no_class_means_no_agreement():
    assert parity_of(torch.ones(4, 2, 2), torch.ones(4, 2, 2)).top1_agreement is None


def test_a_changed_weight_is_found_and_named_in_figures(exported, batch, make):
    changed = make(exported.kind, 8)
    with torch.no_grad():
        changed.get_parameter(f"{list(changed.named_modules())[-1][0]}.bias")[0] += 0.5

    with pytest.raises(ParityError, match=rf"{exported.kind}\.onnx: outputs differ .* relative .* over 5 samples"):
        check_parity(exported.file.path, changed, [batch(3), batch(2, seed=1)])
    assert not measure_parity(exported.file.path, changed, [batch(3)]).ok
    assert check_parity(exported.file.path, exported.model, [batch(3)]).top1_agreement == 1


def test_model_is_judged_in_eval_mode_and_left_in_its_own(exported_by_kind, batch):
    residual = exported_by_kind("residual")
    residual.model.train()  # its dropout would spoil any parity

    check_parity(residual.file.path, residual.model, [batch(4)])

    assert residual.model.training


def test_parity_without_data_is_refused(exported_by_kind):
    mlp = exported_by_kind("mlp")

    with pytest.raises(UsageError, match="at least one batch"):
        check_parity(mlp.file.path, mlp.model, [])


def test_two_files_on_the_same_inputs(exported_by_kind, make, batch, tmp_path):
    mlp, conv = exported_by_kind("mlp"), exported_by_kind("conv")
    other = export_onnx(make("mlp", 8, seed=5), (batch(2),), tmp_path / "other.onnx", like=mlp.file)

    assert compare_outputs(mlp.file.path, mlp.file.path).max_abs == 0
    assert not compare_outputs(mlp.file.path, other.path).ok
    assert not compare_outputs(mlp.file.path, conv.file.path).ok  # the same inputs, another network
    assert compare_outputs(mlp.file.path, other.path) == compare_outputs(mlp.file.path, other.path)


def test_files_with_other_inputs_cannot_be_compared(exported_by_kind, tmp_path):
    wider = export_onnx(nn.Linear(3, 10), (torch.zeros(2, 3),), tmp_path / "wider.onnx")

    with pytest.raises(UsageError, match="other inputs"):
        compare_outputs(exported_by_kind("mlp").file.path, wider.path)


def test_predictions_come_batch_by_batch(exported_by_kind, batch):
    mlp = exported_by_kind("mlp")

    outputs = list(predict(mlp.file.path, [batch(3), (batch(1, seed=1),)]))

    assert [tuple(y.shape) for y in outputs] == [(3, 10), (1, 10)]
    torch.testing.assert_close(outputs[1], mlp.model(batch(1, seed=1)).detach())


def test_file_takes_as_many_inputs_as_its_graph(exported_by_kind, batch):
    with pytest.raises(UsageError, match="takes 1 inputs"):
        OnnxModel(exported_by_kind("mlp").file.path)(batch(1), batch(1))


def test_missing_runtime_names_the_extras(exported_by_kind, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(MissingRuntime, match=r"install the extra: pip install '\.\[cpu\]' from a checkout") as caught:
        OnnxModel(exported_by_kind("mlp").file.path)

    assert caught.value.exit_code == 3
