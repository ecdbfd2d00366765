"""Real builds with TensorRT for RTX, which needs no GPU for them."""

import hashlib
import os
import shutil
import signal

import onnx
import pytest

from condensa_core.engines import Batches, build, build_engine
from condensa_core.errors import ExportFailed, Interrupted, UsageError
from condensa_core.export import pack_onnx
from condensa_core.progress import Advanced, Note, PhaseEnded, PhaseStarted

pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed, or not made for this platform")

KINDS = ["vgg", "resnet20", "mlp", "lstm", "transformer"]
ADA = [89]


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """Shared, so that a model is built once for all that ask the same of it."""
    return tmp_path_factory.mktemp("engines")


def never(*_):
    raise AssertionError("the builder was called")


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_float_engines_take_what_the_parameters_take(files, cache, kind):
    given = files(kind)

    single = build_engine(given.path, cache_dir=cache, capabilities=ADA)
    half = build_engine(given.path, cache_dir=cache, capabilities=ADA, precision="fp16")

    # within 10 %: biases of the LSTM are added up, small tensors are padded
    assert single.weights_bytes == pytest.approx(given.parameter_bytes, rel=0.1)
    assert half.weights_bytes == pytest.approx(given.parameter_bytes / 2, rel=0.1)
    assert (single.precision, half.precision) == ("fp32", "fp16")
    for engine in (single, half):
        content = engine.path.read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (engine.size_bytes, engine.sha256)
        assert engine.size_bytes > engine.weights_bytes
        assert engine.activation_bytes > 0 and engine.layers > 0


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "lstm"])
def test_int8_engines_are_built_from_quantize_nodes(files, cache, kind):
    given = files(kind)

    engine = build_engine(given.int8(), cache_dir=cache, capabilities=ADA)

    assert engine.precision == "int8"
    single = build_engine(given.path, cache_dir=cache, capabilities=ADA)
    assert engine.weights_bytes < 0.5 * single.weights_bytes  # embeddings, norms and biases stay in float


def test_int8_takes_less_than_three_tenths_of_a_resnets_weights_memory(files, cache):
    given = files("resnet20")

    engine = build_engine(given.int8(), cache_dir=cache, capabilities=ADA)

    single = build_engine(given.path, cache_dir=cache, capabilities=ADA)
    assert engine.weights_bytes < 0.30 * single.weights_bytes


def test_a_second_build_comes_from_the_cache(files, tmp_path, monkeypatch):
    path = files("mlp").path
    first = build_engine(path, cache_dir=tmp_path, capabilities=ADA)
    monkeypatch.setattr(build, "_compiled", never)
    told = []

    second = build_engine(path, cache_dir=tmp_path, capabilities=ADA, listener=told.append)

    assert second.cached and not first.cached
    assert vars(second) | {"cached": False} == vars(first)
    assert second.path.read_bytes() == first.path.read_bytes()
    assert told[-1] == PhaseEnded("engine", "from the cache")


def test_what_a_tool_wrote_about_a_file_builds_no_new_engine(small, cache, files, monkeypatch):
    build_engine(files("mlp").path, cache_dir=cache, capabilities=ADA)
    model = onnx.load(small)
    model.producer_name = "another"
    model.graph.node[0].doc_string = "where it came from"
    model.metadata_props.add(key="when", value="today")
    onnx.save(model, small)
    monkeypatch.setattr(build, "_compiled", never)

    assert build_engine(small, cache_dir=cache, capabilities=ADA).cached


@pytest.mark.parametrize(
    "change",
    [{"capabilities": [86]}, {"precision": "fp16"}, {"batches": Batches(1, 2, 4)}],
    ids=lambda c: next(iter(c)),
)
def test_other_settings_are_another_engine(files, tmp_path, change):
    settings = {"capabilities": ADA, "cache_dir": tmp_path}
    before = build_engine(files("mlp").path, **settings)

    after = build_engine(files("mlp").path, **settings | change)

    assert not after.cached
    assert after.path != before.path


def test_other_weights_are_another_engine(small, tmp_path):
    before = build_engine(small, cache_dir=tmp_path, capabilities=ADA)
    model = onnx.load(small)
    weight = next(tensor for tensor in model.graph.initializer if len(tensor.dims) > 1)
    weight.raw_data = bytes(len(weight.raw_data))
    onnx.save(model, small)

    after = build_engine(small, cache_dir=tmp_path, capabilities=ADA)

    assert after.sha256 != before.sha256


@pytest.mark.parametrize("damage", ["truncated", "other bytes", "no facts", "facts of another kind"])
def test_a_damaged_entry_is_built_anew(files, tmp_path, damage):
    path = files("mlp").path
    before = build_engine(path, cache_dir=tmp_path, capabilities=ADA)
    facts = before.path.with_suffix(".json")
    content = before.path.read_bytes()
    if damage == "truncated":
        before.path.write_bytes(content[:1000])
    elif damage == "other bytes":
        before.path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "no facts":
        facts.unlink()
    else:
        facts.write_text('{"batches": null, "sha256": 1}')
    told = []

    after = build_engine(path, cache_dir=tmp_path, capabilities=ADA, listener=told.append)

    assert not after.cached
    assert after.path.read_bytes() == content
    assert [event.level for event in told if isinstance(event, Note)] == ["warning"]
    assert build_engine(path, cache_dir=tmp_path, capabilities=ADA).cached


def test_progress_rises_to_its_end(files, tmp_path):
    told = []

    build_engine(files("transformer").path, cache_dir=tmp_path, capabilities=ADA, listener=told.append)

    assert told[0] == PhaseStarted("engine", 100, "transformer.onnx in fp32 for sm89")
    steps = [event.done for event in told if isinstance(event, Advanced)]
    assert len(steps) > 10
    assert steps == sorted(set(steps)) and steps[-1] <= 100
    assert isinstance(told[-1], PhaseEnded)


def refuse(_):
    raise Interrupted("stop")


def press_control_c(_):
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def ctrl_c():
    """Ctrl-C raises, as at a terminal; a process started in the background may ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(("stop", "raised"), [(refuse, Interrupted), (press_control_c, KeyboardInterrupt)])
def test_a_stopped_build_leaves_nothing(files, tmp_path, capfd, stop, raised):
    def listener(event):
        if isinstance(event, Advanced) and event.done > 20:
            stop(event)

    with pytest.raises(raised):
        build_engine(files("transformer").path, cache_dir=tmp_path, capabilities=ADA, listener=listener)

    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")  # nothing was raised across TensorRT's own code, which would write it there
    assert not build_engine(files("mlp").path, cache_dir=tmp_path, capabilities=ADA).cached


def test_a_signal_at_any_moment_stops_a_build(files, tmp_path, capfd):
    def raises(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, raises)
    try:
        for delay_s in (0.1, 0.2, 0.3):  # of a build that takes longer; its callbacks are thousands of lines of log
            signal.setitimer(signal.ITIMER_REAL, delay_s)
            with pytest.raises(KeyboardInterrupt):
                for _ in range(100):
                    build_engine(files("transformer").path, cache_dir=tmp_path / "none", capabilities=ADA)
                    shutil.rmtree(tmp_path / "none")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert capfd.readouterr() == ("", "")


def test_weights_are_decoded_before_and_not_at_every_inference(files, cache, tmp_path):
    given = files("mlp")
    model = onnx.load(given.path)
    for tensor in model.graph.initializer:
        if len(tensor.dims) > 1:
            values = onnx.numpy_helper.to_array(tensor)
            signs = (values > 0).astype(values.dtype) - 0.5  # two values: a bit each
            tensor.CopyFrom(onnx.numpy_helper.from_array(signs, tensor.name))
    plain, packed = tmp_path / "plain.onnx", tmp_path / "plain.packed.onnx"
    onnx.save(model, plain)
    pack_onnx(plain, packed)
    assert packed.stat().st_size < 0.1 * plain.stat().st_size

    engine = build_engine(packed, cache_dir=cache, capabilities=ADA)

    dense = build_engine(plain, cache_dir=cache, capabilities=ADA)
    assert engine.weights_bytes == dense.weights_bytes
    assert engine.layers == dense.layers


def test_several_gpus_share_an_engine(files, cache):
    engine = build_engine(files("mlp").path, cache_dir=cache, capabilities=[120, 86, 86])

    assert engine.capabilities == (86, 120)
    assert engine.to_json()["capabilities"] == ["sm86", "sm120"]


def test_a_larger_batch_takes_more_memory_and_a_fixed_one_is_kept(small, cache):
    few = build_engine(small, cache_dir=cache, capabilities=ADA, batches=Batches(1, 1, 1))
    many = build_engine(small, cache_dir=cache, capabilities=ADA, batches=Batches(1, 8, 4096))
    assert many.activation_bytes > few.activation_bytes

    model = onnx.load(small)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 3
    onnx.save(model, small)

    assert build_engine(small, cache_dir=cache, capabilities=ADA).batches is None


def test_a_build_that_fails_says_why_and_what_to_do(files, tmp_path):
    with pytest.raises(ExportFailed, match=r"FP32 GEMM is not supported.*ask for fp16"):
        build_engine(files("mlp").path, cache_dir=tmp_path, capabilities=[75])

    engine = build_engine(files("mlp").path, cache_dir=tmp_path, capabilities=[75], precision="fp16")
    assert engine.capabilities == (75,)


@pytest.mark.parametrize("content", [b"", b"no model at all", None], ids=["empty", "noise", "truncated"])
def test_a_corrupt_file_is_refused(small, tmp_path, content):
    small.write_bytes(small.read_bytes()[:5000] if content is None else content)

    with pytest.raises(UsageError, match=r"mlp\.onnx"):
        build_engine(small, cache_dir=tmp_path / "cache", capabilities=ADA)

    assert not (tmp_path / "cache").exists()


def test_an_operator_nobody_knows_is_named(small, tmp_path):
    model = onnx.load(small)
    model.graph.node[-1].op_type = "Swirl"
    model.graph.node[-1].domain = "acme"
    model.opset_import.add(domain="acme", version=1)
    onnx.save(model, small)

    with pytest.raises(UsageError, match=r"Swirl.*it does not know this operator"):
        build_engine(small, cache_dir=tmp_path, capabilities=ADA)


def test_a_second_open_size_is_named(small, tmp_path):
    model = onnx.load(small)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "features"
    onnx.save(model, small)

    with pytest.raises(UsageError, match="dimension 1 \\('features'\\) open beside the batch"):
        build_engine(small, cache_dir=tmp_path, capabilities=ADA)
