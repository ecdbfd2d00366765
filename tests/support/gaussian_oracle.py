"""Gaussian process regression and acquisition values in a few lines of numpy and scipy, for comparison."""

from __future__ import annotations

import numpy as np
from scipy.integrate import quad
from scipy.stats import norm

SHAPES = {
    "matern-1/2": lambda r: np.exp(-r),
    "matern-3/2": lambda r: (1 + np.sqrt(3) * r) * np.exp(-np.sqrt(3) * r),
    "matern-5/2": lambda r: (1 + np.sqrt(5) * r + 5 * r**2 / 3) * np.exp(-np.sqrt(5) * r),
    "rbf": lambda r: np.exp(-(r**2) / 2),
}


def kernel(name, a, b, lengths, variance):
    """n x d, m x d -> n x m, from the textbook (Rasmussen and Williams 2006, equations 4.9 to 4.17)."""
    scaled = (a[:, None, :] - b[None, :, :]) / np.asarray(lengths)
    return variance * SHAPES[name](np.sqrt((scaled**2).sum(-1)))


def posterior(name, x, y, noise, at, lengths, variance, mean):
    """Mean and sd of the noise-free function at m points (Rasmussen and Williams 2006, equations 2.25 and 2.26)."""
    k = kernel(name, x, x, lengths, variance) + np.diag(np.broadcast_to(noise, len(x)))
    across = kernel(name, x, at, lengths, variance)
    solved = np.linalg.solve(k, across)
    covariance = kernel(name, at, at, lengths, variance) - across.T @ solved
    return mean + solved.T @ (y - mean), np.sqrt(np.diag(covariance))


def ils_ucb(mean, sd, level, gamma):
    return (1 - gamma) * sd - gamma * np.abs(mean - level)


def expected_improvement(mean, sd, best):
    """By quadrature of its definition: the integral of (f - best)^+ over the normal density."""

    def one(m, s):
        return quad(lambda f: (f - best) * norm.pdf(f, m, s), best, max(best, m) + 12 * s, epsabs=0, limit=200)[0]

    return np.array([one(m, s) for m, s in zip(mean, sd, strict=True)])


def probability_of_improvement(mean, sd, best):
    return norm.sf(best, mean, sd)


def log_likelihood(name, x, y, noise, lengths, variance, mean):
    k = kernel(name, x, x, lengths, variance) + np.diag(np.broadcast_to(noise, len(x)))
    left = y - mean
    return -0.5 * (left @ np.linalg.solve(k, left) + np.linalg.slogdet(k)[1] + len(x) * np.log(2 * np.pi))
