from __future__ import annotations

import hashlib
import re
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from condensa_core.errors import ExportFailed, MachineError, UsageError
from condensa_core.export import OnnxModel, check_parity, export_onnx, read_onnx


@pytest.mark.parametrize("count", [1, 2, 7])
def test_file_computes_the_model_at_any_batch(exported, batch, count):
    x = batch(count, seed=1)

    outputs = OnnxModel(exported.file.path)(x)

    # float32 sums of at most 128 products in another order: a few units in the last place
    torch.testing.assert_close(outputs, exported.model.eval()(x).detach(), rtol=1e-5, atol=1e-5)


def test_no_trace_of_this_machine_stays_in_the_file(exported):
    content = exported.file.path.read_bytes()

    assert str(Path(__file__).parent).encode() not in content
    assert str(Path(torch.__file__).parent).encode() not in content
    for trace in (b"site-packages", b"stack_trace", b'File "', b"pkg.torch", b".py"):
        assert trace not in content


def test_record_describes_the_file(exported):
    content, graph = exported.file.path.read_bytes(), onnx.load(exported.file.path)

    assert exported.file.size_bytes == len(content)
    assert exported.file.sha256 == hashlib.sha256(content).hexdigest()
    assert exported.file.nodes == len(graph.graph.node)
    assert exported.file.opset == graph.opset_import[0].version == 20
    assert exported.file.inputs[0].shape == ("batch", 1, 8, 8)
    assert exported.file.outputs[0].shape == ("batch", 10)
    parameters = sum(p.numel() * 4 for p in exported.model.parameters())
    assert parameters <= exported.file.weight_bytes <= parameters + 64  # a shape or two beside them
    onnx.checker.check_model(graph, full_check=True)


def test_reading_back_gives_the_record_without_its_history(exported):
    file = read_onnx(exported.file.path)

    assert (file.sha256, file.size_bytes, file.nodes, file.weight_bytes, file.inputs, file.outputs) == (
        exported.file.sha256,
        exported.file.size_bytes,
        exported.file.nodes,
        exported.file.weight_bytes,
        exported.file.inputs,
        exported.file.outputs,
    )
    assert file.route == "read"
    assert not file.modules


def test_nodes_are_traced_to_their_modules(exported):
    modules = dict(exported.model.named_modules())
    graph = onnx.load(exported.file.path).graph

    assert set(exported.file.modules.values()) <= modules.keys()
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm"):
            assert f"{exported.file.modules[node.name]}.weight" == node.input[1]


def test_unfolded_batchnorm_is_folded_by_the_exporter(batchnorm_network, batch, tmp_path):
    file = export_onnx(batchnorm_network, (batch(2),), tmp_path / "norm.onnx")

    assert "BatchNormalization" not in {n.op_type for n in onnx.load(file.path).graph.node}
    check_parity(file.path, batchnorm_network, [batch(5)], tolerance=1e-5)


def test_recurrent_network_exports_without_a_warning(tmp_path):
    torch.manual_seed(0)
    network = nn.LSTM(4, 6, batch_first=True)

    file = export_onnx(network, (torch.randn(2, 5, 4),), tmp_path / "lstm.onnx")

    assert "LSTM" in {n.op_type for n in onnx.load(file.path).graph.node}
    check_parity(file.path, network, [torch.randn(3, 5, 4)])


def test_model_comes_back_as_it_was(make, batch, tmp_path, capfd):
    model = make("residual").train()
    model.dropout.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    export_onnx(model, (batch(2),), tmp_path / "m.onnx")

    assert model.training and model.stem.training and not model.dropout.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]
    assert capfd.readouterr() == ("", "")


def test_example_of_one_sample_is_refused(make, batch, tmp_path):
    with pytest.raises(UsageError, match=re.escape("batch of at least 2, got (1, 1, 8, 8)")):
        export_onnx(make("mlp"), (batch(1),), tmp_path / "m.onnx")


class DataDependent(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if float(x.sum()) > 0 else x


def test_model_that_cannot_be_traced_is_refused_and_leaves_nothing(batch, tmp_path):
    with pytest.raises(ExportFailed, match="DataDependent"):
        export_onnx(DataDependent(), (batch(2),), tmp_path / "m.onnx")

    assert not list(tmp_path.iterdir())


def test_folder_that_cannot_be_written_is_a_machine_error(exported_by_kind, batch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    reference = exported_by_kind("mlp")

    with pytest.raises(MachineError, match="cannot write"):
        export_onnx(reference.model, (batch(2),), blocked / "m.onnx", like=reference.file)
