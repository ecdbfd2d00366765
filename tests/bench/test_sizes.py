"""The sizes of a file: with its weights elsewhere, without what no runtime needs, packed."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
import pytest
import zstandard
from onnx import TensorProto, helper, numpy_helper

from condensa_core.bench import compare, examine, sizes_of
from condensa_core.bench.sizes import sha256_of
from condensa_core.export.provenance import strip


def with_ballast(model: onnx.ModelProto, letters: int) -> onnx.ModelProto:
    """Doc strings, metadata and intermediate shapes wherever they may stand."""
    graph = model.graph
    graph.value_info.append(helper.make_tensor_value_info("h0", TensorProto.FLOAT, ["batch", 16]))
    inner = helper.make_graph([], "inner", [], [], doc_string="d" * letters)
    graph.node[0].attribute.append(helper.make_attribute("alpha", 0.5))  # of fixed length
    graph.node[0].attribute.append(helper.make_attribute("body", inner))
    holders = [model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer]
    for holder in holders:
        holder.doc_string = "t" * letters
        holder.metadata_props.add(key="pkg.torch.onnx.stack_trace", value="x" * letters)
    return model


@pytest.mark.parametrize("letters", [1, 90, 300])  # so that lengths of lengths change, too
def test_stripped_is_what_the_exporter_would_leave(chain, tmp_path, letters):
    path = tmp_path / "m.onnx"
    model = with_ballast(onnx.load(chain(3, 16)), letters)
    path.write_bytes(model.SerializeToString())

    found = sizes_of(examine(path))

    strip(model)
    assert found.stripped == len(model.SerializeToString())
    assert found.stripped < found.file == path.stat().st_size


def test_a_file_without_ballast_is_as_long_as_it_is(chain):
    found = sizes_of(examine(chain(3, 16)))

    assert found.stripped == found.file
    assert found.weights == 3 * 16 * 16 * 4


def test_packed_is_what_zstd_makes_of_it(chain, tmp_path):
    path = tmp_path / "zeros.onnx"
    model = onnx.load(chain(3, 192))
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.zeros((192, 192), np.float32), "w0"))
    path.write_bytes(model.SerializeToString())

    found = sizes_of(examine(path))

    # not packed in the same pieces, which costs or saves a few bytes
    assert found.zstd == pytest.approx(len(zstandard.ZstdCompressor(level=12).compress(path.read_bytes())), rel=1e-3)
    assert found.zstd < 0.75 * found.file  # a third of the weights are zeros


def test_weights_in_other_files_count(chain, tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(onnx.load(chain(3, 192)), path, save_as_external_data=True, location="m.data", size_threshold=0)

    found = sizes_of(examine(path))

    assert found.file == path.stat().st_size + (tmp_path / "m.data").stat().st_size
    assert compare({"m": path}, rounds=3, seconds=0).measurement("m").size_bytes == found.file
    assert found.weights == 3 * 192 * 192 * 4
    assert found.zstd > 0.8 * found.weights  # random weights: both files were packed
    assert found.stripped == found.file


@pytest.mark.parametrize("other", ["./m.data", "hard.data", "soft.data"])
def test_a_file_of_weights_under_two_names_counts_once(chain, tmp_path, other):
    path = tmp_path / "m.onnx"
    onnx.save(onnx.load(chain(2, 16)), path, save_as_external_data=True, location="m.data", size_threshold=0)
    (tmp_path / "hard.data").hardlink_to(tmp_path / "m.data")
    (tmp_path / "soft.data").symlink_to(tmp_path / "m.data")
    model = onnx.load(path, load_external_data=False)
    (spelling,) = (entry for entry in model.graph.initializer[1].external_data if entry.key == "location")
    spelling.value = other
    path.write_bytes(model.SerializeToString())

    assert sizes_of(examine(path)).file == path.stat().st_size + (tmp_path / "m.data").stat().st_size


def test_the_digest_is_of_the_weights_as_well(chain, tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(onnx.load(chain(2, 16)), path, save_as_external_data=True, location="m.data", size_threshold=0)
    before, data = sha256_of(examine(path)), tmp_path / "m.data"

    data.write_bytes(data.read_bytes()[:-1] + b"?")

    assert sha256_of(examine(chain(2, 16))) == hashlib.sha256(chain(2, 16).read_bytes()).hexdigest()
    assert before != sha256_of(examine(path))
