"""int8 activations the whole way: the file that ships computes in integers, and is what was judged and packed."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from published import published
from safetensors.torch import load_file
from tiny_recipe import tiny

from condensa_core import flow
from condensa_core.errors import ParityError, RunFailed
from condensa_core.export import Parity, QuantizedFile
from condensa_core.flow.integers import calibration_inputs, integer_form, require_sound
from condensa_core.randomness import Seed
from condensa_core.recipe import recipe_from
from condensa_core.report import Outcome, read_outcome, verdict
from condensa_core.run_directory import file_sha256
from condensa_core.schemes import Quantize, Target
from condensa_core.search import read_journal
from condensa_core.workload import load_splits

MODEL = {"builtin": "small-cnn", "args": {"width": 32, "depth": 1, "stages": 2}}
INT8 = {"quantize": {"dtype": "int8", "granularity": "channel", "activations": "int8"}}
CHANGES: dict[str, Any] = {
    "model": MODEL,
    "layers": [{"match": "features.*", "scheme": INT8}],
    "knobs": None,
    "metrics": {"loss": {"kind": "loss"}},
    "compress": {"method": "direct", "metric": "identity"},
    "constraint": {"metric": "loss", "max_rise": "50%"},  # which no two files share, as they do accuracies
    "objective": {"minimize": "size.onnx"},
    "search": {"method": "none"},
    "output": {"export": ["onnx", "packed"]},
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[Outcome, Path]:
    """Convolutions rounded directly, so that their integers are those of the reference's weights."""
    out = tmp_path_factory.mktemp("runs")
    outcome = flow.run(recipe_from(tiny(**CHANGES)), out=out, cache_dir=cache)
    (directory,) = (out / "tiny").iterdir()
    return outcome, directory


def stored(path: Path) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


def outputs(path: Path, inputs: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: inputs})
    return np.asarray(logits)


def operators(path: Path, tmp_path: Path) -> Counter[str]:
    """What the runtime computes, after its own fusions."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)


def computes_the_same(packed: Path, file: Path, tmp_path: Path) -> bool:
    inputs = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0)).numpy()
    integers = [operators(path, tmp_path)["QLinearConv"] for path in (packed, file)]
    return bool((outputs(packed, inputs) == outputs(file, inputs)).all()) and integers[0] == integers[1] > 0


def test_the_rules_layers_alone_compute_in_integers(finished: tuple[Outcome, Path], tmp_path: Path) -> None:
    outcome, directory = finished
    file = directory / "best" / "model.onnx"

    convolutions = [name for name in load_file(directory / "best" / "weights.safetensors") if "features" in name]
    found = operators(file, tmp_path)

    assert outcome.status == "ok", outcome.reasons
    assert outcome.integers is not None and outcome.integers.floating == ()
    assert set(outcome.integers.layers) == {name.rpartition(".")[0] for name in convolutions}
    assert found["QLinearConv"] == len(outcome.integers.layers) and not found["Conv"] + found["FusedConv"]
    assert found["Gemm"] == 1 and not found["QGemm"]  # the classifier is no layer of the rule
    assert stored(file)["classifier.weight"].dtype == np.float32


def test_weights_are_the_integers_of_the_code(finished: tuple[Outcome, Path], cache: Path) -> None:
    outcome, directory = finished
    (reference,) = cache.glob("*.safetensors")
    trained = {n: t for n, t in load_file(reference).items() if t.ndim == 4}

    code = Quantize("int8", "channel").project(Target(trained))

    held = stored(directory / "best" / "model.onnx")
    levels = {n.removesuffix(".levels"): t.astype(int) for n, t in held.items() if n.endswith(".levels") and t.ndim > 3}
    assert outcome.integers is not None and len(levels) == len(trained) == len(outcome.integers.layers)
    plain = stored(directory / "best" / "model.float.onnx")
    for name, found in levels.items():
        parameter = next(n for n in trained if name.startswith(n))
        found = found - held[f"{name}.zero"].astype(int).reshape(-1, 1, 1, 1)
        chosen = code.levels[parameter].numpy().astype(int)
        sign = np.sign((found * chosen).sum((1, 2, 3), keepdims=True))  # a norm may turn an output around
        np.testing.assert_array_equal(found, chosen * sign)
        scaled = found * held[f"{name}.scale"].reshape(-1, 1, 1, 1)
        np.testing.assert_allclose(scaled, plain[parameter], rtol=1e-5, atol=1e-8)


def test_the_file_in_integers_is_what_was_judged(finished: tuple[Outcome, Path]) -> None:
    outcome, directory = finished
    splits = load_splits(recipe_from(tiny(**CHANGES)).data, seed=Seed(3), directory=directory)
    best = directory / "best"
    assert outcome.best is not None and outcome.integers is not None and splits.test is not None

    for split, batches in (("val", splits.val), ("test", splits.test)):
        inputs, targets = (torch.cat(parts).numpy() for parts in zip(*batches, strict=True))
        logits = torch.from_numpy(outputs(best / "model.onnx", inputs))
        figures = outcome.best.metrics[split]
        assert figures["top1"].value == pytest.approx((logits.argmax(1).numpy() == targets).mean())
        loss = float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(targets)))
        assert figures["loss"].value == pytest.approx(loss, rel=1e-5)
        if split == "val":
            assert outcome.constraint is not None and outcome.constraint.value == pytest.approx(loss, rel=1e-5)

    shown = torch.cat([inputs for inputs, _ in splits.train.epoch(0)])[:512].numpy()
    ours, theirs = outputs(best / "model.onnx", shown), outputs(best / "model.float.onnx", shown)
    timed = outcome.integers.timed
    assert timed.count == 512
    assert timed.max_rel == pytest.approx(np.abs(ours - theirs).max() / np.abs(theirs).max(), rel=1e-3)
    assert timed.top1_agreement == pytest.approx((ours.argmax(1) == theirs.argmax(1)).mean())
    assert 0 < timed.max_rel < 0.05  # rounded, and near
    assert outcome.parity["max_rel"] < 1e-4  # the float file's with the model: as strict as without integers
    assert "compute in integers" in verdict(outcome)


def test_it_is_small_and_no_larger_packed_and_the_same_function(finished: tuple[Outcome, Path], tmp_path: Path) -> None:
    outcome, directory = finished
    best = directory / "best"
    file, packed = best / "model.onnx", best / "model.packed.onnx"

    assert outcome.best is not None and outcome.best.objective == outcome.best.bytes == file.stat().st_size
    assert file.stat().st_size < 0.4 * (best / "model.float.onnx").stat().st_size
    assert packed.stat().st_size <= file.stat().st_size
    assert computes_the_same(packed, file, tmp_path)
    assert {a.path for a in outcome.artifacts} >= {"best/model.onnx", "best/model.float.onnx", "best/model.packed.onnx"}


def test_a_resumed_run_ships_the_very_file_of_its_trial(finished: tuple[Outcome, Path], cache: Path) -> None:
    outcome, directory = finished
    sha256 = file_sha256(directory / "best" / "model.onnx")
    for name in ("result.json", "best/model.onnx", "best/model.float.onnx"):
        (directory / name).unlink()

    again = flow.resume(directory, cache_dir=cache)

    assert again.integers == outcome.integers and again.best is not None and outcome.best is not None
    assert again.best.metrics == outcome.best.metrics
    assert file_sha256(directory / "best" / "model.onnx") == sha256


def test_the_profile_is_of_files_in_integers(tmp_path: Path, cache: Path) -> None:
    int4 = {"quantize": INT8["quantize"] | {"dtype": "int4", "observer": "max"}}
    rules = [{"match": "features.*", "scheme": [{"filter": {"sparsity": "$s"}}, int4]}]
    changes = CHANGES | {
        "layers": rules,
        "knobs": {"s": {"choices": [0.0, 0.3, 0.6]}},
        "search": {"trials": 1},
        "constraint": {"metric": "top1", "at_least": 0.1},
    }

    outcome = flow.run(recipe_from(tiny(**changes)), out=tmp_path, cache_dir=cache)

    (directory,) = (tmp_path / "tiny").iterdir()
    _, entries = read_journal(directory / "trials.jsonl")
    (profile,) = (entry.payload for entry in entries if entry.kind == "profile")
    sizes = {float(value): size for value, size in profile["settings"]}
    (trial,) = outcome.trials
    knob = min(sizes, key=lambda value: abs(value - float(trial.knobs["s"])))
    assert trial.objective == pytest.approx(sizes[knob], rel=0.05)
    assert outcome.integers is not None and outcome.integers.observer == "max"
    best = directory / "best"
    # A byte for each weight of 4 bits in the one, 4 bits in the other.
    assert (best / "model.packed.onnx").stat().st_size < 0.8 * (best / "model.onnx").stat().st_size
    assert computes_the_same(best / "model.packed.onnx", best / "model.onnx", tmp_path)


def test_the_speed_is_told_beside_that_of_the_same_model_in_floating_point(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("trial.SECONDS", 0.2), ("gating.SECONDS", 0.5), ("gating.ROUNDS", 6)):
        monkeypatch.setattr(f"condensa_core.flow.{name}", value)
    changes = CHANGES | {"objective": {"maximize": "throughput"}}

    outcome = flow.run(recipe_from(tiny(**changes)), out=tmp_path, cache_dir=cache)

    assert outcome.best is not None and outcome.best.ratio is not None and outcome.integers is not None
    against_float, against_reference = outcome.integers.speed, outcome.best.ratio
    assert against_float is not None and against_float.value is not None and against_reference.value is not None
    # Nothing was removed: the float file is as fast as the reference, so both ratios are of the same rounding.
    assert against_float.value == pytest.approx(against_reference.value, rel=0.3)
    assert Outcome.from_json(outcome.to_json()) == read_outcome(Path(outcome.run_dir) / "result.json")
    published(Path(outcome.run_dir) / "result.json")


def test_factors_compute_in_integers_as_two_layers(tmp_path: Path, cache: Path) -> None:
    rules = [{"match": "features.*", "scheme": [{"lowrank": {"rank": 4}}, INT8]}]

    outcome = flow.run(recipe_from(tiny(**CHANGES | {"layers": rules})), out=tmp_path, cache_dir=cache)

    (directory,) = (tmp_path / "tiny").iterdir()
    held = load_file(directory / "best" / "weights.safetensors")
    weights = [name for name, tensor in held.items() if "features" in name and tensor.ndim > 3]
    assert outcome.integers is not None and outcome.integers.layers
    halves = {name.rpartition(".")[0] for name in weights if name.endswith(("left.weight", "right.weight"))}
    assert halves and halves <= set(outcome.integers.layers)
    assert {*outcome.integers.layers, *outcome.integers.floating} == {name.rpartition(".")[0] for name in weights}
    assert operators(directory / "best" / "model.onnx", tmp_path)["QLinearConv"] == len(outcome.integers.layers)


def test_calibration_reads_calib_or_a_shuffled_pass_of_train(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "def samples(first, count):\n"
        "    x = torch.arange(first, first + count).float().view(-1, 1, 1, 1).expand(-1, 1, 8, 8)\n"
        "    return torch.utils.data.TensorDataset(x, torch.arange(count) * 2 // count)\n"
    )
    own = {
        part: {"python": "mine.py:samples", "args": {"first": first, "count": 40}, "batch": 16}
        for part, first in (("train", 0), ("val", 100), ("calib", 200))
    }

    def shown(**data: Any) -> list[int]:
        splits = load_splits(recipe_from(tiny(data=data)).data, seed=Seed(3), directory=tmp_path)
        return [int(x[0, 0, 0]) for batch in calibration_inputs(splits, 24) for x in batch]

    assert shown(**own) == list(range(200, 224))
    without = shown(train=own["train"], val=own["val"])
    assert without == shown(train=own["train"], val=own["val"])
    assert len(set(without)) == 24 and set(without) <= set(range(40))
    assert without != sorted(without)  # data sorted by class would show the first classes alone


def test_kernels_that_saturate_fail_the_trial(tmp_path: Path) -> None:
    plain = Parity(0.1, 0.013, 0.9999, 1.0, 64, True, 0.05)
    fused = Parity(3.0, 0.34, 0.93, 0.8, 64, True, 0.05)

    require_sound(QuantizedFile(tmp_path / "m.onnx", 1, "onnxruntime", False, ("conv",), {}, plain, plain))
    with pytest.raises(ParityError, match=r"saturate.* 34\.0% .* 1\.3% .*int7"):
        require_sound(QuantizedFile(tmp_path / "m.onnx", 1, "onnxruntime", False, ("conv",), {}, fused, plain))


def test_each_runtime_gets_its_own_form() -> None:
    assert [integer_form(b) for b in ("onnxruntime", "tensorrt", "tensorrt-rtx")] == [
        "onnxruntime", "tensorrt", "tensorrt"
    ]  # fmt: skip


def test_a_file_changed_after_it_was_judged_does_not_ship(
    finished: tuple[Outcome, Path], tmp_path: Path, cache: Path
) -> None:
    directory = tmp_path / "copy"
    shutil.copytree(finished[1], directory)
    (directory / "result.json").unlink()
    trial = directory / "trials" / "000"
    (trial / "model.onnx").write_bytes((trial / "model.float.onnx").read_bytes())

    with pytest.raises(RunFailed, match="it is not the file that the trial left"):
        flow.resume(directory, cache_dir=cache)
