"""Truncation: the error of every rank is the least possible, in every metric, whatever the spectrum."""

from __future__ import annotations

import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.schemes.truncated_svd import TruncatedSvd

sizes = st.integers(1, 7)
seeds = st.integers(0, 2**31)


def drawn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whole_numbers(seed, *shape):
    """Small ones: repeated singular values, zeros and lacking ranks are common."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-1, 2, shape, generator=generator).double()


def energies_of(matrix):
    return torch.from_numpy(scipy.linalg.svdvals(matrix.numpy())).square()


def error_of(matrix, factors, rows=None, gram=None):
    wide = matrix - factors[0] @ factors[1]
    wide = wide if rows is None else wide * rows.sqrt()[:, None]
    return float((wide.square() if gram is None else (wide @ gram) * wide).sum())


@given(m=sizes, n=sizes, seed=seeds, draw=st.sampled_from([drawn, whole_numbers]))
def test_the_error_of_every_rank_is_that_of_the_singular_values_left_out(m, n, seed, draw):
    matrix = draw(seed, m, n)

    svd = TruncatedSvd(matrix)

    expected = energies_of(matrix)
    torch.testing.assert_close(svd.energies, expected, rtol=1e-9, atol=1e-12)
    for rank in range(min(m, n) + 1):
        left, right = svd.factors(rank)
        assert left.shape == (m, rank) and right.shape == (rank, n)
        assert error_of(matrix, (left, right)) == pytest.approx(float(expected[rank:].sum()), rel=1e-9, abs=1e-12)
        assert float(svd.tails[rank]) == pytest.approx(float(expected[rank:].sum()), rel=1e-9, abs=1e-12)


@given(m=sizes, n=sizes, rank=sizes, seed=seeds, metric=st.sampled_from(["plain", "gram", "weights"]))
def test_the_factors_share_the_singular_values_evenly(m, n, rank, seed, metric):
    matrix, rank = drawn(seed, m, n), min(rank, m, n)
    several = {
        "plain": {},
        "gram": {"gram": torch.cov(drawn(seed + 1, n, 3 * n + 2)).reshape(n, n)},
        "weights": {"rows": drawn(seed + 1, m).square(), "columns": drawn(seed + 2, n).square()},
    }

    left, right = TruncatedSvd(matrix, **several[metric]).factors(rank)

    torch.testing.assert_close(left.T @ left, right @ right.T, rtol=1e-7, atol=1e-9)
    expected = torch.linalg.svdvals(left @ right)[:rank]
    torch.testing.assert_close((left.T @ left).diagonal(), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("m", "n"), [(40, 90), (90, 40), (60, 60)])
@pytest.mark.parametrize("decay", [0.1, 0.7, 1.0, 1e-4], ids=["fast", "slow", "flat", "steep"])
def test_ill_conditioned_matrices_lose_nothing(m, n, decay):
    k = min(m, n)
    sizes = torch.tensor([decay**i for i in range(k)], dtype=torch.float64)
    matrix = torch.linalg.qr(drawn(1, m, k))[0] @ (sizes[:, None] * torch.linalg.qr(drawn(2, n, k))[0].T)
    expected = energies_of(matrix)

    for rank in (0, 1, 2, 3, 5, 8, k // 2, k - 1):
        error = error_of(matrix, TruncatedSvd(matrix).factors(rank))

        least = float(expected[rank:].sum())
        # To 1e-10 of itself, or as near as any product comes to a matrix of norm about 1 in float64.
        assert error == pytest.approx(least, rel=1e-10, abs=4e-15 * least**0.5 + k * 1e-29)


@pytest.mark.parametrize(("m", "n"), [(60, 80), (80, 60)])
@pytest.mark.parametrize("spread", [1e-8, 1e-6, 1e-4])
def test_a_crowd_of_small_singular_values_is_told_apart(m, n, spread):
    """Eigenvectors of the Gram matrix alone would err by up to 4e-7 of the least error here."""
    k = min(m, n)
    sizes = torch.tensor([1.0, *(2e-5 * (1 - spread * i) for i in range(k - 1))], dtype=torch.float64)
    matrix = torch.linalg.qr(drawn(1, m, k))[0] @ (sizes[:, None] * torch.linalg.qr(drawn(2, n, k))[0].T)
    expected = energies_of(matrix)

    for rank in (2, 10, 30, 50, 58):
        assert error_of(matrix, TruncatedSvd(matrix).factors(rank)) <= float(expected[rank:].sum()) * (1 + 1e-10)


@pytest.mark.parametrize(("m", "n"), [(30, 50), (50, 30)])
def test_lacking_ranks_are_found(m, n):
    matrix = drawn(1, m, 4) @ drawn(2, 4, n)

    svd = TruncatedSvd(matrix)

    assert float(svd.tails[4]) < 1e-26 * float(svd.tails[0]) < float(svd.tails[3])
    assert error_of(matrix, svd.factors(4)) < 1e-26 * float(svd.tails[0])
    left, right = svd.factors(min(m, n))
    assert left.isfinite().all() and right.isfinite().all()
    torch.testing.assert_close(left @ right, matrix)


def test_nothing_is_made_of_zeros():
    left, right = TruncatedSvd(torch.zeros(4, 6, dtype=torch.float64)).factors(2)

    assert not left.any() and not right.any()


def gram_optimum(matrix, gram, rank):
    """By another route: the principal components of the outputs, W_r = U U^T W, with U from scipy's SVD of W X."""
    root = torch.from_numpy(scipy.linalg.cholesky(gram.numpy(), lower=True))
    return float(energies_of(matrix @ root)[rank:].sum())


@given(m=sizes, n=sizes, seed=seeds)
def test_with_a_gram_matrix_the_outputs_err_least(m, n, seed):
    matrix, inputs = drawn(seed, m, n), drawn(seed + 1, n, 4 * n + 4) * torch.logspace(0, -2, n).double()[:, None]
    gram = inputs @ inputs.T

    svd = TruncatedSvd(matrix, gram=gram)

    for rank in range(min(m, n) + 1):
        factors = svd.factors(rank)
        outputs = (matrix - factors[0] @ factors[1]) @ inputs
        expected = gram_optimum(matrix, gram, rank)
        scale = 1e-9 * float((matrix @ inputs).square().sum())
        assert float(outputs.square().sum()) == pytest.approx(expected, rel=1e-7, abs=scale)
        assert float(svd.tails[rank]) == pytest.approx(expected, rel=1e-7, abs=scale)


@given(m=sizes, n=sizes, seed=seeds)
def test_random_factors_never_err_less_in_the_metric(m, n, seed):
    matrix, rank = drawn(seed, m, n), 1
    inputs, rows = drawn(seed + 1, n, n), drawn(seed + 2, m).square()
    best = error_of(matrix, TruncatedSvd(matrix, rows=rows).factors(rank), rows)
    best_gram = error_of(matrix, TruncatedSvd(matrix, gram=inputs @ inputs.T).factors(rank), gram=inputs @ inputs.T)

    for attempt in range(5):
        left, right = drawn(seed + attempt, m, rank), drawn(seed - attempt + 2**31, rank, n)
        assert best <= error_of(matrix, (left, right), rows) + 1e-9
        assert best_gram <= error_of(matrix, (left, right), gram=inputs @ inputs.T) + 1e-9


@given(m=sizes, n=sizes, seed=seeds)
def test_weights_of_rows_and_columns_are_a_scaled_decomposition(m, n, seed):
    matrix = drawn(seed, m, n)
    rows, columns = (drawn(seed + 1 + i, size).square() + 0.01 for i, size in enumerate((m, n)))

    svd = TruncatedSvd(matrix, rows, columns)

    expected = energies_of(rows.sqrt()[:, None] * matrix * columns.sqrt())
    for rank in range(min(m, n) + 1):
        error = error_of(matrix, svd.factors(rank), rows, torch.diag(columns))
        assert error == pytest.approx(float(expected[rank:].sum()), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize(("m", "n"), [(5, 9), (9, 5)])
@pytest.mark.parametrize("kind", ["gram", "columns", "rows"])
def test_what_is_never_used_is_fitted_with_the_ranks_that_are_left(m, n, kind):
    matrix = drawn(3, m, n)
    used = torch.zeros(n if kind != "rows" else m, dtype=torch.float64)
    used[:2] = torch.tensor([1.0, 2.0])
    metric = {"gram": torch.diag(used)} if kind == "gram" else {kind: used}

    left, right = TruncatedSvd(matrix, **metric).factors(3)

    difference = matrix - left @ right
    seen = difference[:, :2] if kind != "rows" else difference[:2]
    torch.testing.assert_close(seen, torch.zeros_like(seen), rtol=0, atol=1e-5)  # rank 2 is enough for what is used
    # One rank is left. The fit of the seen part takes two directions; the third lowers the rest.
    assert float(difference.square().sum()) < float(
        (matrix - torch.matmul(*TruncatedSvd(matrix, **metric).factors(2))).square().sum()
    )
    assert left.isfinite().all() and left.abs().max() < 1e3 and right.abs().max() < 1e3


def test_an_indefinite_gram_of_rounding_and_no_data_at_all_do_no_harm():
    matrix, inputs = drawn(1, 8, 6), drawn(2, 6, 3).float()
    gram = (inputs @ inputs.T).double()  # rank 3, rounded: some eigenvalues are below zero

    left, right = TruncatedSvd(matrix, gram=gram).factors(3)
    unseen = TruncatedSvd(matrix, gram=torch.zeros(6, 6)).factors(2)

    assert float(((matrix - left @ right) @ inputs.double()).square().sum()) < 1e-9 * float(matrix.square().sum())
    assert error_of(matrix, unseen) == pytest.approx(float(energies_of(matrix)[2:].sum()))
