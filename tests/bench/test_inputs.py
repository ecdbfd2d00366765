from __future__ import annotations

import io
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from condensa_core.bench.inputs import (
    InputRequest,
    batch_is_guessed,
    batch_is_open,
    batch_symbol,
    parse_shapes,
    prepare,
    random_input,
)
from condensa_core.bench.tensor_types import TensorSignature
from condensa_core.errors import MachineError, UsageError
from condensa_core.randomness import Seed


def value(*shape: int | str | None, name: str = "x", element: str = "FLOAT") -> TensorSignature:
    return TensorSignature(name, element, shape)


IMAGE = [value("batch", 3, 8, 8)]
TEXT = [value("batch", "time", name="ids", element="INT64"), value("batch", "time", name="mask", element="BOOL")]


@pytest.mark.parametrize(
    ("element", "dtype"), [("FLOAT", np.float32), ("FLOAT16", np.float16), ("INT64", np.int64), ("BOOL", np.bool_)]
)
def test_inputs_follow_the_signature_and_the_seed(element, dtype):
    models = {"m": [value("batch", 3, 5, element=element)]}

    array = prepare(models, InputRequest(batch=4, seed=Seed(1))).feeds["m"]["x"]

    assert (array.shape, array.dtype) == ((4, 3, 5), dtype)
    assert array.min() != array.max()
    if not np.issubdtype(dtype, np.floating):
        assert set(np.unique(array)) <= {0, 1}  # valid as ids of any vocabulary
    np.testing.assert_array_equal(array, prepare(models, InputRequest(batch=4, seed=Seed(1))).feeds["m"]["x"])
    assert not np.array_equal(array, prepare(models, InputRequest(batch=4, seed=Seed(2))).feeds["m"]["x"])


def test_models_are_fed_the_same_numbers_whatever_their_inputs_are_called():
    half = [value("n", 3, 8, 8, name="pixels", element="FLOAT16")]

    feeds = prepare({"a": IMAGE, "b": half}, InputRequest(batch=2)).feeds

    np.testing.assert_array_equal(feeds["b"]["pixels"], feeds["a"]["x"].astype(np.float16))


def test_two_inputs_of_a_model_differ():
    feeds = prepare({"m": [value(64, name="a"), value(64, name="b")]}, InputRequest()).feeds["m"]

    assert not np.array_equal(feeds["a"], feeds["b"])


@pytest.mark.parametrize(
    ("signatures", "symbol"),
    [
        (IMAGE, "batch"),
        ([value("time", "batch", 64)], "batch"),
        ([value("time", "N", 64)], "N"),
        ([value("frames", 64)], "frames"),
        ([value(3, "anything")], None),
        ([value("mask_len", name="m"), value("batch_size", 4)], "batch_size"),
        ([value(), value("rows", 2, name="y")], "rows"),
    ],
)
def test_the_dimension_that_counts_samples_is_found(signatures, symbol):
    assert batch_symbol(signatures) == symbol


@pytest.mark.parametrize(
    ("signatures", "request_", "shape", "batch"),
    [
        (IMAGE, {}, (1, 3, 8, 8), 1),
        (IMAGE, {"batch": 4}, (4, 3, 8, 8), 4),
        (IMAGE, {"shape": ["x=2x3x8x8"]}, (2, 3, 8, 8), 2),
        (IMAGE, {"shape": ["batch=5"]}, (5, 3, 8, 8), 5),
        ([value(6, 4)], {}, (6, 4), 6),
        ([value(None, 4)], {"batch": 3}, (3, 4), 3),
        ([value(None, None)], {"shape": ["x=7x4"]}, (7, 4), 7),
        ([value("time", "batch", 4)], {"batch": 2, "shape": ["time=9"]}, (9, 2, 4), 2),
        ([value(2, "width")], {"shape": ["width=5"]}, (2, 5), 2),
        ([value("length")], {"shape": ["x=11"]}, (11,), 11),
        ([value()], {}, (), 1),
    ],
)
def test_open_dimensions_take_their_sizes(signatures, request_, shape, batch):
    shapes, sizes = parse_shapes(request_.pop("shape", []))

    prepared = prepare({"m": signatures}, InputRequest(**request_, shapes=shapes, sizes=sizes))

    assert prepared.feeds["m"][signatures[0].name].shape == shape
    assert prepared.batch == batch


def test_a_symbol_has_one_size_in_all_inputs():
    shapes, sizes = parse_shapes(["ids=2x9"])

    feeds = prepare({"m": TEXT}, InputRequest(shapes=shapes, sizes=sizes)).feeds["m"]

    assert {name: array.shape for name, array in feeds.items()} == {"ids": (2, 9), "mask": (2, 9)}


@pytest.mark.parametrize(
    ("signatures", "batch", "shape", "message"),
    [
        ([value(2, 3)], 4, [], "fixes the batch of input 'x' at 2, asked was 4; take --batch 2"),
        (TEXT, 4, [], "leaves dimension time open beside the batch; give it with --shape time=SIZE"),
        ([value("batch", None, 3)], 4, [], "give all of it with --shape x=SIZExSIZEx3"),
        ([value("batch", 0)], 4, [], "holds nothing: a dimension is fixed at 0"),
        ([value("batch", element="STRING")], 4, [], "of a type that cannot be made up"),
        (IMAGE, None, ["x=3x8x8"], "gives input 'x' 3 dimensions, it takes x: FLOAT [batch x 3 x 8 x 8]"),
        (IMAGE, None, ["x=1x4x8x8"], "fixes a dimension of x: FLOAT [batch x 3 x 8 x 8] at 3, asked was 4"),
        (IMAGE, 2, ["x=1x3x8x8"], "--batch 2 and --shape contradict: the batch there is 1"),
        (IMAGE, None, ["bath=2"], "names 'bath', which no model has; did you mean 'batch'?"),
        (IMAGE, None, ["zzz=2x2"], "inputs: x; open dimensions: batch"),
        (TEXT, None, ["ids=2x9,mask=2x8"], "dimension 'time' is given both 9 and 8"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(signatures, batch, shape, message):
    shapes, sizes = parse_shapes(shape)

    with pytest.raises(UsageError) as caught:
        prepare({"m": signatures}, InputRequest(batch=batch, shapes=shapes, sizes=sizes))

    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "x", "x=", "=3", "x=3x", "x=a", "x=3x-1", "x=1.5", "x=3,y", "x=0x3", "x=2,x=2"])
def test_what_is_no_shape_is_refused(text):
    with pytest.raises(UsageError, match="--shape"):
        parse_shapes([text])


def test_models_of_other_batches_are_not_compared():
    with pytest.raises(UsageError, match="take other batches: a 2, b 4"):
        prepare({"a": [value(2, 3)], "b": [value(4, 3)]}, InputRequest())


def saved(folder, *unnamed: np.ndarray, **arrays: np.ndarray) -> InputRequest:
    np.savez(folder / "inputs.npz", *unnamed, **arrays)
    return InputRequest(file=folder / "inputs.npz")


def test_the_arrays_of_a_file_are_fed_as_they_are(tmp_path):
    ids, mask = np.arange(12).reshape(2, 6), np.ones((2, 6), bool)

    prepared = prepare({"m": TEXT}, saved(tmp_path, ids=ids, mask=mask))

    np.testing.assert_array_equal(prepared.feeds["m"]["ids"], ids)
    assert prepared.batch == 2


def test_floats_are_rounded_to_what_each_model_takes_and_unnamed_arrays_taken_in_order(tmp_path):
    image = np.random.default_rng(0).standard_normal((2, 3, 8, 8))
    half = [value("n", 3, 8, 8, name="pixels", element="FLOAT16")]

    feeds = prepare({"a": IMAGE, "b": half}, saved(tmp_path, image)).feeds

    np.testing.assert_array_equal(feeds["a"]["x"], image.astype(np.float32))
    np.testing.assert_array_equal(feeds["b"]["pixels"], image.astype(np.float16))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": np.zeros((2, 3, 8, 8))}, "does not fit m: it has no x; y besides; the model takes x: FLOAT"),
        ({"x": np.zeros((2, 4, 8, 8))}, "float64 [2, 4, 8, 8], m takes x: FLOAT [batch x 3 x 8 x 8]"),
        ({"x": np.zeros((3, 8, 8))}, "float64 [3, 8, 8], m takes"),
        ({"x": np.zeros((0, 3, 8, 8))}, "there is nothing in it"),
        ({"x": np.zeros((2, 3, 8, 8), complex)}, "convert it: array.astype(np.float32)"),
        ({"x": np.full((2, 3, 8, 8), 1e300)}, "whose values do not fit into FLOAT"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arrays, message, tmp_path):
    with pytest.raises(UsageError) as caught:
        prepare({"m": IMAGE}, saved(tmp_path, **arrays))

    assert message in str(caught.value)


def test_ids_are_not_cut_short(tmp_path):
    with pytest.raises(UsageError, match="do not fit into INT32"):
        prepare({"m": [value("n", name="ids", element="INT32")]}, saved(tmp_path, ids=np.array([2**40])))
    with pytest.raises(UsageError, match=re.escape("astype(np.int64)")):
        prepare({"m": [value("n", name="ids", element="INT64")]}, saved(tmp_path, ids=np.array([1.5])))


def test_one_symbol_has_one_size_in_the_arrays_too(tmp_path):
    with pytest.raises(UsageError, match="dimension 'time' is 6 in one array and 5 in another"):
        prepare({"m": TEXT}, saved(tmp_path, ids=np.zeros((2, 6), int), mask=np.zeros((2, 5), bool)))


@pytest.mark.parametrize("content", [None, b"", b"no zip", b"PK\x03\x04 broken"])
def test_a_file_without_arrays_is_refused(content, tmp_path):
    if content is not None:
        (tmp_path / "inputs.npz").write_bytes(content)

    with pytest.raises(UsageError, match=r"no such file|no file of arrays"):
        prepare({"m": IMAGE}, InputRequest(file=tmp_path / "inputs.npz"))


def test_a_single_array_has_no_name(tmp_path):
    np.save(tmp_path / "inputs.npy", np.zeros((2, 3, 8, 8)))

    with pytest.raises(UsageError, match="holds a single array; save it by name"):
        prepare({"m": IMAGE}, InputRequest(file=tmp_path / "inputs.npy"))


def test_pickled_objects_are_never_read(tmp_path):
    np.savez(tmp_path / "inputs.npz", x=np.array([{"a": 1}], dtype=object))

    with pytest.raises(UsageError, match="no file of arrays: Object arrays cannot be loaded"):
        prepare({"m": IMAGE}, InputRequest(file=tmp_path / "inputs.npz"))


def test_a_file_of_arrays_has_its_own_batch_and_shapes(tmp_path):
    arrays = saved(tmp_path, x=np.zeros((2, 3, 8, 8)))

    with pytest.raises(UsageError, match="--batch 4, but the arrays of --inputs hold 2"):
        prepare({"m": IMAGE}, InputRequest(batch=4, file=arrays.file))
    with pytest.raises(UsageError, match="exclude each other"):
        prepare({"m": IMAGE}, InputRequest(shapes={"x": (2, 3, 8, 8)}, file=arrays.file))


def test_inputs_of_the_same_names_are_paired_by_name_and_others_by_position(tmp_path):
    a, b, c, d = (TensorSignature(name, "FLOAT", ("batch", 3)) for name in "abcd")
    models = {"ab": [a, b], "ba": [b, a], "cd": [c, d]}
    numbered = tmp_path / "numbered.npz"
    np.savez(numbered, np.zeros((2, 3)), np.ones((2, 3)))

    for request in (InputRequest(batch=2), InputRequest(file=numbered)):
        feeds = prepare(models, request).feeds

        for one, other in (("a", "c"), ("b", "d")):
            np.testing.assert_array_equal(feeds["ba"][one], feeds["ab"][one])
            np.testing.assert_array_equal(feeds["cd"][other], feeds["ab"][one])
        assert list(feeds["ba"]) == ["b", "a"]


def test_inputs_fill_the_widest_interval_that_any_model_says_and_bytes_all_their_values():
    free = TensorSignature("x", "FLOAT", ("batch", 500))
    narrow, wide = (replace(free, interval=interval) for interval in ((-1.0, 2.0), (0.0, 300.0)))

    feeds = prepare({"a": [free], "b": [narrow], "c": [wide]}, InputRequest(batch=4)).feeds

    x = feeds["a"]["x"]
    assert -1 <= x.min() < 1 and 299 < x.max() <= 300
    assert abs(x.mean() - 149.5) < 8  # five standard errors of 2000 even draws
    for model in "bc":
        np.testing.assert_array_equal(feeds[model]["x"], x)
    for element, least, most in (("UINT8", 0, 255), ("INT8", -128, 127)):
        drawn = random_input(TensorSignature("x", element, (9999,)), (9999,), Seed())
        assert (drawn.min(), drawn.max()) == (least, most)


def claiming(path, shape, stored):
    """A file with an array whose header says more than it holds, or as much."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header.getvalue() + bytes(stored))
    return path


def test_arrays_that_claim_more_than_they_hold_are_broken_and_those_beyond_memory_no_crash(tmp_path, monkeypatch):
    models = {"m": [TensorSignature("x", "FLOAT", ("batch", 1000))]}
    lying = claiming(tmp_path / "lying.npz", (10**10, 1000), 64)
    honest = claiming(tmp_path / "honest.npz", (250, 1000), 10**6)

    with pytest.raises(UsageError, match=r"x.npy declares 40,000,000,000,000 bytes and has \d+"):
        prepare(models, InputRequest(file=lying))
    assert prepare(models, InputRequest(file=honest)).batch == 250
    monkeypatch.setattr("condensa_core.bench.memory.available_bytes", lambda: 1_900_000)
    with pytest.raises(MachineError, match="the arrays of"):
        prepare(models, InputRequest(file=honest))


@pytest.mark.parametrize(
    ("signatures", "asked", "is_open", "guessed"),
    [
        (IMAGE, {}, True, False),
        (TEXT, {"sizes": {"time": 4}}, True, False),
        (IMAGE, {"sizes": {"batch": 4}}, False, False),
        (IMAGE, {"shapes": {"x": (4, 3, 8, 8)}}, False, False),
        (IMAGE, {"file": Path("a.npz")}, False, False),
        ([value(None, 4)], {}, True, False),
        ([value(35, 1, 64)], {}, False, True),  # steps of time, perhaps
        ([value(35, 1, 64)], {"batch": 35}, False, False),
        ([value(1, 3, 8, 8)], {}, False, False),
        ([value()], {}, False, False),
        ([], {}, False, False),
    ],
)
def test_a_batch_is_swept_only_where_it_is_open(signatures, asked, is_open, guessed):
    request = InputRequest(**asked)

    assert batch_is_open(signatures, request) is is_open
    assert batch_is_guessed(signatures, request) is guessed


@pytest.mark.parametrize("signatures", [[], [value()]])
def test_what_has_no_dimension_has_no_batch(signatures):
    assert prepare({"m": signatures}, InputRequest(batch=1)).batch == 1

    with pytest.raises(UsageError, match="m: no input has a dimension for --batch 8; leave out --batch"):
        prepare({"m": signatures}, InputRequest(batch=8))
