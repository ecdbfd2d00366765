"""Packed files: as small as promised, loaded by a stock ONNX Runtime, computing what the plain file computes."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from condensa_core.errors import ExportFailed, UsageError
from condensa_core.export import compare_outputs, export_onnx, pack_onnx, read_onnx, unpack_onnx
from condensa_core.export.packing import measure_loading
from condensa_core.export.packing.folding import left_unfolded
from condensa_core.schemes.terms import Plain, Product, Scaled


def quantiles(w: Tensor, k: int) -> Tensor:
    book = torch.quantile(w.flatten(), (torch.arange(k) + 0.5) / k)
    return book[torch.bucketize(w, (book[1:] + book[:-1]) / 2)]


def sparse(w: Tensor, kept: float) -> Tensor:
    return w * (w.abs() >= torch.quantile(w.abs().flatten(), 1 - kept))


def int8(w: Tensor) -> Tensor:
    scale = w.abs().max() / 127
    return torch.round(w / scale) * scale


@pytest.fixture(scope="module")
def lenet300(tmp_path_factory):
    """(network, its plain file) with normally distributed weights."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)
    )
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(torch.randn_like(p) * 0.05)
    return network, export_onnx(network, (torch.randn(2, 1, 28, 28),), tmp_path_factory.mktemp("lenet") / "model.onnx")


@pytest.fixture
def with_weights(lenet300, tmp_path):
    """with_weights(change): the plain file with every matrix changed."""

    def write(change):
        model = onnx.load(lenet300[1].path)
        for tensor in model.graph.initializer:
            values = numpy_helper.to_array(tensor)
            if values.ndim == 2:
                changed = change(torch.from_numpy(values.copy())).numpy()
                tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
        path = tmp_path / "model.onnx"
        onnx.save(model, path)
        return path

    return write


def weights_of(path):
    return {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


GOALS = {
    "4-bit code book": (lambda w: quantiles(w, 16), 7.5),
    "2-bit code book": (lambda w: quantiles(w, 4), 14),
    "binary": (lambda w: w.abs().mean() * torch.sign(w), 25),
    "ternary": (lambda w: quantiles(w, 3), 18.5),
    "5 % in int8": (lambda w: int8(sparse(w, 0.05)), 35),
    "5 %": (lambda w: sparse(w, 0.05), 15),
    "float16": (lambda w: w.half().float(), 1.95),
}


@pytest.mark.parametrize("scheme", GOALS)
def test_a_lenet_is_as_small_as_promised_and_the_same(scheme, with_weights, tmp_path):
    change, ratio = GOALS[scheme]
    plain = with_weights(change)

    packed = pack_onnx(plain, tmp_path / "model.packed.onnx")

    assert packed.size_bytes == packed.path.stat().st_size
    assert plain.stat().st_size / packed.size_bytes >= ratio
    assert packed.ratio >= ratio
    assert packed.error == 0
    assert compare_outputs(plain, packed.path).max_abs == 0


def test_the_parts_add_up_to_the_file(with_weights, tmp_path):
    packed = pack_onnx(with_weights(lambda w: int8(sparse(w, 0.05))), tmp_path / "p.onnx")

    assert sum(t.size_bytes for t in packed.tensors) == pytest.approx(packed.size_bytes, abs=1000)
    assert {t.name for t in packed.tensors} == set(weights_of(tmp_path / "model.onnx"))
    assert all(t.size_bytes <= t.dense_bytes for t in packed.tensors)


def test_packing_twice_gives_the_same_bytes_and_nothing_to_gain(with_weights, tmp_path):
    plain = with_weights(lambda w: sparse(quantiles(w, 16), 0.3))

    first, second = pack_onnx(plain, tmp_path / "a.onnx"), pack_onnx(plain, tmp_path / "b.onnx")
    again = pack_onnx(first.path, tmp_path / "c.onnx")

    assert first.sha256 == second.sha256 == again.sha256


def test_unpacking_gives_the_plain_weights_back(with_weights, tmp_path):
    plain = with_weights(lambda w: int8(sparse(w, 0.05)))
    packed = pack_onnx(plain, tmp_path / "model.packed.onnx")

    dense = unpack_onnx(packed.path, tmp_path / "dense.onnx")

    ours, theirs = weights_of(dense.path), weights_of(plain)
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        np.testing.assert_array_equal(ours[name], values)
    assert [n.op_type for n in onnx.load(dense.path).graph.node] == [n.op_type for n in onnx.load(plain).graph.node]
    assert dense.size_bytes == pytest.approx(plain.stat().st_size, rel=0.001)
    onnx.checker.check_model(onnx.load(dense.path), full_check=True)


def test_a_plain_file_has_nothing_to_unpack(lenet300, tmp_path):
    with pytest.raises(UsageError, match="nothing to unpack"):
        unpack_onnx(lenet300[1].path, tmp_path / "out.onnx")
    assert not list(tmp_path.iterdir())


def test_weights_that_are_all_different_stay_as_they_are(lenet300, tmp_path):
    packed = pack_onnx(lenet300[1].path, tmp_path / "p.onnx")

    assert packed.size_bytes <= lenet300[1].size_bytes
    assert {t.encoding for t in packed.tensors if len(t.shape) == 2} == {"float32"}


def test_the_runtime_computes_the_weights_once_at_load(with_weights, tmp_path):
    packed = pack_onnx(with_weights(lambda w: int8(sparse(w, 0.05))), tmp_path / "p.onnx")
    model = onnx.load(packed.path)
    names = {t.name for t in packed.tensors}

    assert len(model.graph.node) > 20
    assert left_unfolded(model, names) == set()
    # and the check sees what is not folded: the positions of non-zeros, whose number depends on the values
    unfolded = onnx.load(tmp_path / "model.onnx")
    first = unfolded.graph.initializer[0].name
    unfolded.graph.initializer[0].name = "stored"
    nodes = [
        helper.make_node("NonZero", ["stored"], ["places"]),
        helper.make_node("Transpose", ["places"], ["rows"]),
        helper.make_node("GatherND", ["stored", "rows"], ["values"]),
        helper.make_node("ScatterND", ["stored", "rows", "values"], [first]),
    ]
    rest = list(unfolded.graph.node)
    del unfolded.graph.node[:]
    unfolded.graph.node.extend([*nodes, *rest])
    assert left_unfolded(unfolded, names) == {first}


def test_what_loading_takes_is_measured_apart(with_weights, tmp_path):
    plain = with_weights(lambda w: quantiles(w, 16))
    packed = pack_onnx(plain, tmp_path / "p.onnx")

    light, heavy = measure_loading(plain), measure_loading(packed.path)

    weights = 4 * (784 * 300 + 300 * 100 + 100 * 10)
    assert light.resident_bytes >= weights  # as the runtime keeps them, prepared for its kernels
    assert heavy.peak_bytes >= heavy.resident_bytes > weights
    assert 0 < light.cpu_s < 10
    with pytest.raises(ExportFailed, match=r"nowhere\.onnx"):
        measure_loading(tmp_path / "nowhere.onnx")


def test_no_trace_of_where_it_was_made(with_weights, tmp_path):
    plain = with_weights(lambda w: quantiles(w, 4))
    model = onnx.load(plain)
    model.graph.node[0].metadata_props.add(key="pkg.torch.onnx.stack_trace", value="/home/user/secret.py")
    model.doc_string = "secret"
    onnx.save(model, plain)

    packed = pack_onnx(plain, tmp_path / "p.onnx")

    assert b"secret" not in packed.path.read_bytes()


# --- other networks


class Words(nn.Module):
    """Embedding, LSTM, decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(200, 32)
        self.lstm = nn.LSTM(32, 48, batch_first=True)
        self.decoder = nn.Linear(48, 200)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.lstm(self.embedding(x))[0])


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    torch.manual_seed(0)
    network = Words()
    ids = torch.randint(0, 200, (2, 7))
    return network, export_onnx(network, (ids,), tmp_path_factory.mktemp("words") / "model.onnx")


def exported(network, inputs, path):
    return export_onnx(network, inputs, path).path


def test_code_books_in_embeddings_and_recurrent_layers_are_found(words, tmp_path):
    network = Words()
    with torch.no_grad():
        for p in network.parameters():
            if p.ndim == 2:
                p.copy_(quantiles(p, 4))
    plain = exported(network, (torch.randint(0, 200, (2, 7)),), tmp_path / "model.onnx")

    packed = pack_onnx(plain, tmp_path / "p.onnx")

    assert packed.ratio > 9
    ids = np.random.default_rng(0).integers(0, 200, (3, 7))
    outputs = [onnxruntime.InferenceSession(str(p)).run(None, {onnx.load(p).graph.input[0].name: ids}) for p in
               (plain, packed.path)]  # fmt: skip
    np.testing.assert_array_equal(outputs[0][0], outputs[1][0])


def test_low_rank_gates_are_found_although_the_exporter_reorders_them(words, tmp_path):
    network, terms = Words(), {}
    with torch.no_grad():
        for name, p in network.named_parameters():
            if p.ndim == 2:
                left, right = torch.randn(p.shape[0], 3), torch.randn(3, p.shape[1]) / 8
                terms[name] = (Product(left, right, tuple(p.shape), (0, 1)),)
                p.copy_(terms[name][0].dense())
    plain = exported(network, (torch.randint(0, 200, (2, 7)),), tmp_path / "model.onnx")

    packed = pack_onnx(plain, tmp_path / "p.onnx", terms)

    assert packed.error <= 1e-6
    assert sum(t.encoding.startswith("rank 3") for t in packed.tensors) == 4
    assert packed.ratio > 7
    ids = np.random.default_rng(0).integers(0, 200, (3, 7))
    outputs = [onnxruntime.InferenceSession(str(p)).run(None, {onnx.load(p).graph.input[0].name: ids}) for p in
               (plain, packed.path)]  # fmt: skip
    np.testing.assert_allclose(outputs[0][0], outputs[1][0], atol=1e-5 * np.abs(outputs[0][0]).max())


def test_terms_of_every_kind_in_a_convolutional_network(make, exported_by_kind, batch, tmp_path):
    # given a kernel of low rank in another order of axes, a linear layer of book and corrections, a scaled one
    network = make("conv", 16)
    torch.manual_seed(1)
    with torch.no_grad():
        kernel, linear = network.features[3].weight, network.classifier.weight
        product = Product(torch.randn(16 * 3, 2), torch.randn(2, 16 * 3), (16, 3, 16, 3), (0, 2, 1, 3))
        kernel.copy_(product.dense())
        corrections = torch.randn_like(linear) * (torch.rand_like(linear) < 0.01)
        sum_of_two = (Plain(quantiles(torch.randn_like(linear), 2)), Plain(corrections))
        linear.copy_(sum_of_two[0].dense() + corrections)
        first = network.features[0].weight
        scaled = Scaled(torch.randint(-7, 8, first.shape).to(torch.int8), torch.rand(len(first), 1, 1, 1))
        first.copy_(scaled.dense())
    terms = {"features.3.weight": (product,), "classifier.weight": sum_of_two, "features.0.weight": (scaled,)}
    plain = exported(network, (batch(2),), tmp_path / "model.onnx")

    packed = pack_onnx(plain, tmp_path / "p.onnx", terms)

    by_name = {t.name: t for t in packed.tensors}
    assert by_name["features.3.weight"].encoding.startswith("rank 2")
    assert by_name["features.3.weight"].size_bytes < 2 * 48 * 2 * 4 + 400
    assert by_name["classifier.weight"].size_bytes < linear.numel() * 4 / 7
    assert packed.error <= 1e-6
    assert compare_outputs(plain, packed.path).max_rel < 1e-5


def test_terms_that_do_not_make_the_weights_are_not_used(lenet300, tmp_path):
    name = next(name for name, p in lenet300[0].named_parameters() if p.ndim == 2)
    p = dict(lenet300[0].named_parameters())[name]
    wrong = Product(torch.randn(len(p), 2), torch.randn(2, p.shape[1]), tuple(p.shape), (0, 1))

    packed = pack_onnx(lenet300[1].path, tmp_path / "p.onnx", {name: (wrong,)})

    assert packed.error == 0
    assert compare_outputs(lenet300[1].path, packed.path).max_abs == 0


def test_group_scales_that_do_not_divide_the_row_are_stored_once_a_group(lenet300, tmp_path, with_weights):
    # given 784 columns in groups of 100, each with a scale of its own
    torch.manual_seed(0)
    base = torch.randint(-7, 8, (300, 784)).to(torch.int8)
    scale = torch.rand(300, 8).repeat_interleave(100, 1)[:, :784]
    scaled = Scaled(base, scale, -scale)
    plain = with_weights(lambda w: scaled.dense() if w.shape == (300, 784) else w)
    name = next(name for name, values in weights_of(plain).items() if values.shape == (300, 784))

    packed = pack_onnx(plain, tmp_path / "p.onnx", {name: (scaled,)})

    size = next(t.size_bytes for t in packed.tensors if t.name == name)
    assert size <= base.numel() * 4.1 / 8 + 2 * 4 * 300 * 8
    assert packed.error <= 1e-6


def test_float16_files_are_packed_further(make, batch, tmp_path):
    network = make("mlp", 64)
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(quantiles(p, 8).half().float() if p.ndim == 2 else p)
    names = {name for name, p in network.named_parameters() if p.ndim == 2}
    plain = export_onnx(network, (batch(2),), tmp_path / "half.onnx", float16_parameters=names)

    packed = pack_onnx(plain.path, tmp_path / "p.onnx")

    assert packed.size_bytes < plain.size_bytes / 2
    assert compare_outputs(plain.path, packed.path).max_abs == 0


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8, np.uint8])
def test_other_types_keep_their_type(dtype, tmp_path):
    values = np.random.default_rng(0).choice(np.array([1, 2, 3, 50], dtype), (40, 50))
    graph = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["h"], to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype))),
         helper.make_node("Where", ["choice", "h", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", 1, [40, 50]), helper.make_tensor_value_info("choice", 9, [])],
        [helper.make_tensor_value_info("y", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), [40, 50])],
        [numpy_helper.from_array(values, "w")],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "m.onnx")

    packed = pack_onnx(tmp_path / "m.onnx", tmp_path / "p.onnx")

    assert packed.tensors[0].encoding == "4 values"
    unpack_onnx(packed.path, tmp_path / "u.onnx")
    back = weights_of(tmp_path / "u.onnx")["w"]
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, values)


def test_integer_layers_keep_what_the_runtime_looks_for(tmp_path):
    # given a quantised weight, whose DequantizeLinear must stay with it
    weight = np.random.default_rng(0).integers(-1, 2, (50, 40)).astype(np.int8)
    graph = helper.make_graph(
        [helper.make_node("DequantizeLinear", ["w", "s", "z"], ["d"]), helper.make_node("MatMul", ["x", "d"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", 1, ["batch", 50])],
        [helper.make_tensor_value_info("y", 1, ["batch", 40])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.float32(0.1), "s"),
         numpy_helper.from_array(np.int8(0), "z")],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "m.onnx")

    packed = pack_onnx(tmp_path / "m.onnx", tmp_path / "p.onnx")

    assert [n.op_type for n in onnx.load(packed.path).graph.node][-2:] == ["DequantizeLinear", "MatMul"]
    assert packed.size_bytes < weight.nbytes / 2
    assert compare_outputs(tmp_path / "m.onnx", packed.path).max_abs == 0


def test_an_old_opset_is_refused_with_a_way_out(tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", 1, [1])],
        [helper.make_tensor_value_info("y", 1, [1])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8), tmp_path / "m.onnx")

    with pytest.raises(UsageError, match="opset 11"):
        pack_onnx(tmp_path / "m.onnx", tmp_path / "p.onnx")
    assert read_onnx(tmp_path / "m.onnx").opset == 11
