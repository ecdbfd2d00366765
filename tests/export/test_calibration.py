"""Histograms over a stream, and the ranges read off them, against numpy and slow direct versions."""

import math
from collections import Counter

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from condensa_core.errors import UsageError
from condensa_core.export.calibration import Histogram, observe
from condensa_core.export.calibration_ranges import activation_range, entropy_bins, grid_of

number = st.one_of(st.just(0.0), st.floats(-1e4, 1e4, width=32), st.floats(-(2.0**-10), 2.0**-10, width=32))


def histogram_of(*batches):
    found = Histogram()
    for batch in batches:
        found.add(np.asarray(batch, dtype=np.float32))
    return found


@given(st.lists(st.lists(number, max_size=20), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_counts_depend_on_the_numbers_alone(batches, order):
    numbers = [x for batch in batches for x in batch]
    shuffled = order.sample(numbers, len(numbers))

    streamed, whole = histogram_of(*batches), histogram_of(shuffled)

    assert streamed.width == whole.width and (streamed.count, streamed.zeros) == (whole.count, whole.zeros)
    for a, b in zip(streamed.bins(), whole.bins(), strict=True):
        assert a.tolist() == b.tolist()
    assert streamed.magnitudes().tolist() == whole.magnitudes().tolist()
    assert (streamed.least, streamed.greatest) == (min([0.0, *numbers]), max([0.0, *numbers]))


@given(st.lists(number, min_size=1, max_size=60))
def test_every_number_is_in_its_bin(values):
    wide = np.asarray(values, dtype=np.float32).astype(np.float64)
    found = histogram_of(values)

    centres, counts = found.bins()

    assert found.count == len(values) and found.zeros == int((wide == 0).sum())
    assert counts.sum() == (wide != 0).sum()
    for centre, count in zip(centres, counts, strict=True):
        inside = (wide >= centre - found.width / 2) & (wide < centre + found.width / 2) & (wide != 0)
        assert count == inside.sum()
    if counts.size:
        assert 4096 <= abs(np.array([wide.min(), wide.max()])).max() / found.width <= 8192


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_no_range_holds_are_refused(value):
    with pytest.raises(UsageError, match="NaN or infinity"):
        histogram_of([1.0, value])


@settings(max_examples=200)
@given(st.lists(number, min_size=1, max_size=300), st.sampled_from([99.99, 99.0, 90.0, 50.0]), st.booleans())
def test_percentile_agrees_with_numpy_to_a_bin(values, percentile, symmetric):
    wide = np.asarray(values, dtype=np.float32).astype(np.float64)
    found = histogram_of(values)

    low, high = activation_range(found, "percentile", symmetric=symmetric, percentile=percentile)

    if symmetric:
        expected = np.percentile(abs(wide), percentile, method="inverted_cdf")
        assert -low == high
        assert expected <= high <= expected + found.width * (1 + 1e-9)
    else:
        rest = (100 - percentile) / 2
        above = max(0.0, np.percentile(wide, 100 - rest, method="inverted_cdf"))
        below = max(0.0, np.percentile(-wide, 100 - rest, method="inverted_cdf"))
        assert above <= high <= above + found.width * (1 + 1e-9)
        assert below <= -low <= below + found.width * (1 + 1e-9)


@given(
    st.lists(number, min_size=1, max_size=50), st.sampled_from(["max", "percentile", "mse", "entropy"]), st.booleans()
)
def test_ranges_stay_within_what_was_seen_and_hold_zero(values, rule, symmetric):
    found = histogram_of(values)

    low, high = activation_range(found, rule, symmetric=symmetric)

    assert low <= 0 <= high
    if symmetric:
        assert -low == high <= max(abs(np.float32(values)))
    else:
        assert min(0, *np.float32(values), 0) <= low and high <= max(0, *np.float32(values), 0)
    scale, lowest, highest = grid_of((low, high), symmetric=symmetric)
    assert scale > 0 and lowest <= 0 <= highest and highest - lowest == (254 if symmetric else 255)


def squared_error(values, reach, bits, symmetric):
    scale, lowest, highest = grid_of(reach, bits, symmetric=symmetric)
    return float(np.square(values - np.clip(np.rint(values / scale), lowest, highest) * scale).mean())


# Gaussian, Laplace, Gaussian with one in 1,000 thirty times as large, rectified Gaussian
DRAWS = np.random.default_rng(0)
GAUSSIAN = DRAWS.standard_normal(8000)
LAPLACE = DRAWS.laplace(size=8000)
OUTLIERS = np.where(DRAWS.random(8000) < 1e-3, 30 * GAUSSIAN, GAUSSIAN)
RECTIFIED = np.maximum(GAUSSIAN, 0)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(
    "values", [GAUSSIAN, LAPLACE, OUTLIERS, RECTIFIED], ids=["gauss", "laplace", "outliers", "relu"]
)
def test_least_squares_is_as_good_as_a_search_over_the_numbers_themselves(values, symmetric):
    bits, found = 4, histogram_of(values)

    chosen = activation_range(found, "mse", symmetric=symmetric, bits=bits)

    low, high = activation_range(found, "max", symmetric=symmetric)
    grid = np.linspace(0.02, 1, 50)
    ends = [(-f * high, f * high) for f in grid] if symmetric else [(a * low, b * high) for a in grid for b in grid]
    best = min(squared_error(values, end, bits, symmetric) for end in ends)
    assert squared_error(values, chosen, bits, symmetric) <= 1.05 * best


def test_the_rules_are_ordered_by_squared_error_at_four_bits():
    for values in (GAUSSIAN, LAPLACE, OUTLIERS):
        found = histogram_of(values)
        errors = {
            rule: squared_error(values, activation_range(found, rule, symmetric=True, bits=4), 4, symmetric=True)
            for rule in ("max", "entropy", "mse")
        }
        assert errors["mse"] <= errors["entropy"] < errors["max"]
        assert errors["mse"] < 0.75 * errors["max"]


def slow_entropy(counts, levels):
    """The definition, bin by bin."""
    bins = [float(c) for c in counts]
    if len(bins) > 1:
        bins[0] = bins[1]
    best, least = len(bins), math.inf
    for i in range(levels, len(bins) + 1):
        run = [b * levels // i if bins[b] else -1 for b in range(i)]
        members = Counter(run)
        mass = [sum(bins[b] for b in range(i) if run[b] == r) for r in range(levels)]
        q = np.array([mass[run[b]] / members[run[b]] if bins[b] else 0.0 for b in range(i)])
        p = np.array(bins[:i])
        p[-1] += sum(bins[i:])
        if q.sum() == 0 or ((q == 0) & (p > 0)).any():
            continue
        p, q = p / p.sum(), q / q.sum()
        held = p > 0
        divergence = float((p[held] * np.log(p[held] / q[held])).sum())
        if divergence <= least + 1e-12:
            best, least = i, min(divergence, least)
    return best


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.one_of(st.just(0), st.integers(0, 5), st.integers(0, 1000)), min_size=2, max_size=40),
    st.sampled_from([2, 4, 8]),
)
def test_entropy_agrees_with_the_definition(counts, levels):
    found = entropy_bins(np.array(counts, dtype=np.float64), levels)

    if len(counts) <= levels or sum(counts[1:]) == 0:
        assert found == len(counts)
    else:
        assert found == slow_entropy(counts, levels)


def test_entropy_agrees_with_the_definition_on_real_shapes():
    for values in (GAUSSIAN, OUTLIERS):
        counts, _ = np.histogram(abs(values), bins=300)

        assert entropy_bins(counts.astype(np.float64), 32) == slow_entropy(counts, 32)


def test_the_spike_at_zero_does_not_clip_half_of_the_range():
    """Half of the numbers near zero but not zero: without the treatment of the first bin the divergence is theirs."""
    spiked = np.concatenate([RECTIFIED, np.full(8000, 1e-6)])

    for symmetric in (True, False):
        _, high = activation_range(histogram_of(spiked), "entropy", symmetric=symmetric)

        assert high > 0.75 * RECTIFIED.max()


def test_a_background_that_recurs_does_not_make_entropy_clip_what_lies_beyond():
    generator = np.random.default_rng(0)
    pixels = np.where(generator.random(100_000) < 0.5, 0, generator.integers(1, 256, 100_000)) / 255
    standardised = (pixels - 0.28) / 0.35  # the background is -0.8, the brightest pixel 2.06

    _, high = activation_range(histogram_of(standardised), "entropy", symmetric=False)

    assert high > 0.95 * standardised.max()


def test_counts_given_to_the_entropy_rule_are_not_changed():
    counts = np.arange(300.0)[::-1].copy()
    before = counts.copy()

    entropy_bins(counts, 128)

    assert (counts == before).all()


@pytest.mark.parametrize("rule", ["max", "percentile", "mse", "entropy"])
def test_a_tensor_of_zeros_has_a_grid_all_the_same(rule):
    found = histogram_of([0.0, 0.0])

    reach = activation_range(found, rule, symmetric=False)

    assert reach == (0, 0) and grid_of(reach, symmetric=False)[0] == 1


def test_an_unknown_rule_is_refused():
    with pytest.raises(UsageError, match="entropy"):
        activation_range(histogram_of([1.0]), "kl", symmetric=True)


def test_tensors_of_a_file_are_observed_whatever_the_limit(exported_by_kind, batch):
    path, module = exported_by_kind("mlp").file.path, exported_by_kind("mlp").model
    batches = [batch(5, seed) for seed in (0, 1)]
    relu = next(node.output[0] for node in onnx.load(path).graph.node if node.op_type == "Relu")
    image = onnx.load(path).graph.input[0].name

    free = observe(path, [image, relu], batches)
    tight = observe(path, [image, relu], batches, limit_bytes=1)

    with torch.no_grad():
        expected = torch.relu(module.hidden(torch.cat(batches).flatten(1)))
    assert free[image].count == torch.cat(batches).numel() and free[relu].count == expected.numel()
    assert free[relu].greatest == pytest.approx(float(expected.max()), rel=1e-5)
    assert free[relu].zeros == int((expected == 0).sum())
    assert free[relu].magnitudes().sum() == tight[relu].magnitudes().sum()
    assert free[image].bins()[1].tolist() == tight[image].bins()[1].tolist()


def test_calibration_without_data_is_refused(exported_by_kind):
    with pytest.raises(UsageError, match="at least one batch"):
        observe(exported_by_kind("mlp").file.path, [], [])
