"""Every stored form gives its numbers back when ONNX Runtime evaluates it, and takes the bytes it says."""

import math

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from condensa_core.export.packing.classes import Classes, cheapest_classes
from condensa_core.export.packing.digits import PER_BYTE, Digits, digit_bits, radices_of
from condensa_core.export.packing.encodings import smallest
from condensa_core.export.packing.expressions import Constant, Writer, stored_bytes
from condensa_core.export.packing.grids import grid_of
from condensa_core.export.packing.positions import stored_positions
from condensa_core.export.packing.symbols import stored_symbols


def graph_of(expression):
    """A model whose one output is the expression's value."""
    return written(expression)[0]


def written(expression):
    writer = Writer(["zz"])
    writer.add_as("zz", expression)
    graph = helper.make_graph(writer.nodes, "g", [], [onnx.ValueInfoProto(name="zz")], writer.initializers())
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), writer


def evaluated(expression) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(graph_of(expression).SerializeToString(), options)
    return session.run(None, {})[0]


def entropy_bits(symbols) -> float:
    counts = np.bincount(symbols)
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum())


seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)


# --- digits


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 17, 36, 37, 64, 100, 128, 200, 256, 257, 5000, 65536])
def test_digits_hold_every_symbol_in_whole_bytes(k):
    for count in (1, 7, 8, 30, 241):
        symbols = np.random.default_rng(count).integers(0, k, count)
        symbols[0] = k - 1

        digits = Digits.of(symbols, k)

        decoded = evaluated(digits.indices())
        assert decoded.dtype == np.int32
        np.testing.assert_array_equal(decoded, symbols)
        book = np.arange(2 * k, dtype=np.float32).reshape(k, 2) / 7
        np.testing.assert_array_equal(evaluated(digits.look_up(book)), book[symbols])


@pytest.mark.parametrize("k", [2, 3, 5, 7, 8, 11, 27, 33, 65, 129, 256, 300, 1000, 40000])
def test_radices_are_the_cheapest_that_reach_k(k):
    def bits(radices):
        return sum(8 / PER_BYTE[r] for r in radices)

    chosen = radices_of(k)

    assert math.prod(chosen) >= k
    others = [[]]
    for _ in range(4):  # every tuple, not only the sorted ones
        others += [[*o, r] for o in others for r in PER_BYTE]
    assert bits(chosen) <= min(bits(o) for o in others if math.prod(o) >= k) + 1e-9
    assert digit_bits(k) < math.log2(k) + 0.55


# --- classes


@given(seeds, st.integers(3, 40), st.floats(0.05, 2))
def test_classes_give_every_symbol_back(generator, k, steepness):
    share = np.exp(-steepness * np.arange(k)) + 1e-9
    symbols = generator.choice(k, size=600, p=share / share.sum())

    classes = Classes.of(symbols, cheapest_classes(np.bincount(symbols, minlength=k)))

    np.testing.assert_array_equal(evaluated(classes.indices()), symbols)
    book = generator.standard_normal(k).astype(np.float32)
    np.testing.assert_array_equal(evaluated(classes.look_up(book)), book[symbols])


@pytest.mark.parametrize(
    "symbols",
    [
        np.minimum(np.random.default_rng(0).geometric(0.05, 100_000) - 1, 255),
        np.clip(np.rint(np.random.default_rng(1).standard_normal(100_000) * 20 + 128), 0, 255).astype(int),
    ],
    ids=["geometric", "bell"],
)
def test_classes_come_near_the_entropy(symbols):
    form = stored_symbols(symbols, 256)

    assert isinstance(form, Classes)
    assert entropy_bits(symbols) <= 8 * stored_bytes(form.indices()) / symbols.size <= 1.08 * entropy_bits(symbols)


# --- positions


class Ground:
    """Zeros."""

    def __init__(self, count):
        self.count = count

    @property
    def widened(self):
        return Constant(np.zeros(self.count + 1, np.float32))

    @property
    def spread(self):
        return Constant(np.zeros(1, np.float32))


@given(seeds, st.sampled_from([(1,), (2,), (9,), (64,), (4, 16), (3, 700), (2, 3, 3, 3)]), st.floats(0, 1))
def test_every_form_of_positions_puts_exceptions_in_place(generator, shape, share):
    mask = generator.random(shape) < share
    mask.ravel()[generator.integers(mask.size)] = True
    values = generator.standard_normal(int(mask.sum())).astype(np.float32)
    expected = np.zeros(shape, np.float32)
    expected[mask] = values

    forms = stored_positions(mask)

    assert forms
    for form in forms:
        decoded = evaluated(form.patched(Ground(mask.size), Constant(values)))
        np.testing.assert_array_equal(decoded, expected.ravel(), err_msg=form.label)


def test_long_gaps_before_between_and_behind():
    mask = np.zeros(3000, bool)
    mask[[700, 701, 2000]] = True

    for form in stored_positions(mask):
        decoded = evaluated(form.patched(Ground(3000), Constant(np.array([1, 2, 3], np.float32))))
        assert np.flatnonzero(decoded).tolist() == [700, 701, 2000]
        assert decoded[[700, 701, 2000]].tolist() == [1, 2, 3]


# --- grids


@given(seeds, st.integers(1, 127), st.floats(1e-6, 1e3), st.booleans())
def test_integers_times_scales_are_found_again(generator, largest, scale, by_row):
    whole = generator.integers(-largest, largest + 1, (5, 40)).astype(np.float32)
    whole[:, :2] = [largest, largest - 1]
    scales = np.float32(scale) * (generator.uniform(0.5, 2, (5, 1)) if by_row else np.ones((1, 1)))
    values = whole * scales.astype(np.float32)

    found = grid_of(values, np.unique(values))

    assert found is not None
    integers, steps = found
    np.testing.assert_array_equal(integers * steps, values)
    assert np.abs(integers).max() <= largest


def test_numbers_without_a_grid_have_none():
    values = np.random.default_rng(0).standard_normal((4, 50)).astype(np.float32)

    assert grid_of(values, np.unique(values)) is None


# --- all together


def quantised(generator, shape):
    whole = np.rint(generator.standard_normal(shape) * 20).clip(-127, 127).astype(np.float32)
    return whole * np.float32(0.0123)


def by_row(generator, shape):
    scales = generator.uniform(0.01, 0.1, (shape[0], *[1] * (len(shape) - 1))).astype(np.float32)
    return np.rint(generator.standard_normal(shape) * 3).astype(np.float32) * scales


def book(k):
    def draw(generator, shape):
        return generator.standard_normal(k).astype(np.float32)[generator.integers(0, k, shape)]

    return draw


def sparse(draw, share=0.05):
    return lambda generator, shape: draw(generator, shape) * (generator.random(shape) < share)


def normal(generator, shape):
    return generator.standard_normal(shape).astype(np.float32)


def corrected(generator, shape):
    return np.where(generator.random(shape) < 0.01, normal(generator, shape), book(2)(generator, shape))


def two_of_four(generator, shape):
    values = normal(generator, shape)
    ranks = np.argsort(np.argsort(generator.random((values.size // 4, 4)))).reshape(-1)[: values.size]
    return np.where(ranks.reshape(shape) < 2, values, np.float32(0)) if values.size % 4 == 0 else values


def books_by_row(generator, shape):
    rows = [book(4)(generator, shape[1:]) for _ in range(shape[0])]
    return np.stack(rows)


def groups(generator, shape):
    count = -(-math.prod(shape[1:]) // 32)
    return np.repeat(normal(generator, (shape[0], count)), 32, axis=1)[:, : math.prod(shape[1:])].reshape(shape)


def half(generator, shape):
    return normal(generator, shape).astype(np.float16).astype(np.float32)


def brain(generator, shape):
    return (normal(generator, shape).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def equal_rows(generator, shape):
    return normal(generator, (5, *shape[1:]))[generator.integers(0, 5, shape[0])]


# draw, at most this many bits a weight on 120 x 400 (the entropy, and a little more)
KINDS = {
    "normal": (normal, 32.1),
    "half": (half, 16.1),
    "bfloat16": (brain, 16.1),
    "quantised": (quantised, 6.9),
    "by row": (by_row, 4.2),
    "binary": (book(2), 1.1),
    "ternary": (book(3), 1.7),
    "book of 16": (book(16), 4.1),
    "book of 300": (book(300), 9.1),
    "sparse": (sparse(normal), 2.1),
    "sparse, quantised": (sparse(quantised), 0.9),
    "sparse book": (sparse(book(4)), 0.65),
    "half the weights": (sparse(normal, 0.5), 17.2),
    "corrected": (corrected, 1.6),
    "two of four": (two_of_four, 16.9),
    "a book for each row": (books_by_row, 2.5),
    "groups": (groups, 1.2),
    "equal rows": (equal_rows, 1.5),
    "zeros": (lambda generator, shape: np.zeros(shape, np.float32), 0.1),
    "constant": (lambda generator, shape: np.full(shape, 0.1, np.float32), 0.1),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1,), (63,), (64,), (1000,), (1, 65), (65, 1), (30, 70), (16, 8, 3, 3), (2, 40, 10)])
def test_the_smallest_form_gives_the_numbers_back(kind, shape):
    values = KINDS[kind][0](np.random.default_rng(7), shape).astype(np.float32)

    encoding = smallest(values)

    decoded = evaluated(encoding.expression) if encoding.label != "float32" else encoding.expression.values
    assert decoded.dtype == np.float32
    assert decoded.shape == shape
    np.testing.assert_array_equal(decoded, values)


@pytest.mark.parametrize("kind", KINDS)
def test_the_smallest_form_is_small(kind):
    draw, bits = KINDS[kind]
    values = draw(np.random.default_rng(3), (120, 400)).astype(np.float32)

    encoding = smallest(values)

    np.testing.assert_array_equal(evaluated(encoding.expression) if kind != "normal" else values, values)
    assert 8 * encoding.size_bytes / values.size <= bits, encoding.label


@given(seeds, st.lists(st.integers(1, 9), min_size=1, max_size=4), st.sampled_from(sorted(KINDS)))
def test_any_shape_of_any_kind(generator, shape, kind):
    values = KINDS[kind][0](generator, tuple(shape)).astype(np.float32)

    encoding = smallest(values)

    if not isinstance(encoding.expression, Constant):
        np.testing.assert_array_equal(evaluated(encoding.expression), values)


def test_infinite_and_missing_numbers_stay_as_they_are():
    values = np.zeros(1000, np.float32)
    for odd in (np.inf, -np.inf, np.nan):
        values[3] = odd
        assert smallest(values).label == "float32"


@pytest.mark.parametrize("kind", ["sparse, quantised", "corrected", "by row", "book of 300"])
def test_the_size_is_that_of_the_file(kind):
    values = KINDS[kind][0](np.random.default_rng(3), (120, 400)).astype(np.float32)

    expression = smallest(values).expression

    model, writer = written(expression)
    parts = [*model.graph.node, *model.graph.initializer]
    frames = [1 + max(1, -(-part.ByteSize().bit_length() // 7)) for part in parts]
    assert sum(frames) + sum(part.ByteSize() for part in parts) == writer.size_bytes
    assert abs(stored_bytes(expression) - writer.size_bytes) <= 2  # the length of the last name


def test_equal_parts_are_stored_once():
    values = book(16)(np.random.default_rng(0), (50, 50))
    one, other = smallest(values).expression, smallest(values.copy()).expression

    assert stored_bytes(one, other) == stored_bytes(one)


def test_a_repeated_run_of_the_same_input_is_the_same_form():
    values = sparse(quantised)(np.random.default_rng(0), (60, 90)).astype(np.float32)

    first, second = (graph_of(smallest(values.copy()).expression).SerializeToString() for _ in range(2))

    assert first == second
