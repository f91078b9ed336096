"""How far two sets of features are apart, each taken as a Gaussian."""

from __future__ import annotations

import numpy as np

from lowerbound.errors import InputError

Array = np.ndarray

SIZES = 8
"""Subsets of different sizes to which the line of `extrapolated` is fitted."""

LEAST_SHARE = 0.25
"""Of the whole sets, the size of the smallest of them."""


def frechet(a: Array, b: Array) -> float:
    """The squared Fréchet distance of the Gaussians with the means and covariances of features (N, D) and (M, D).

        |m_a − m_b|² + tr(S_a + S_b − 2 (S_a^½ S_b S_a^½)^½)

    On the features of an Inception network it is known as FID; on others its values are others. It is biased upwards by
    about a constant / N, so compare it only between sets of one size, and beside what real data of that size score.
    Martin Heusel, Hubert Ramsauer, Thomas Unterthiner, Bernhard Nessler and Sepp Hochreiter, "GANs trained by a two
    time-scale update rule converge to a local Nash equilibrium", 2017; D. C. Dowson and B. V. Landau, "The Fréchet
    distance between multivariate normal distributions", 1982.

    Raises:
        InputError: features that are not finite rows of one width, two at least in each set.

    >>> x = np.random.default_rng(0).normal(size=(100, 3))
    >>> round(frechet(x, x + np.array([2.0, 0.0, 0.0])), 9)
    4.0
    """
    a, b = checked_features(a, b)
    return between(a.mean(0), covariance(a), b.mean(0), covariance(b))


def between(mean_a: Array, covariance_a: Array, mean_b: Array, covariance_b: Array) -> float:
    """The same of means (D,) and covariances (D, D); roots by eigenvalues, which rounding cannot turn complex."""
    root = square_root(covariance_a)
    spectrum = np.linalg.eigvalsh(root @ covariance_b @ root)
    overlap = np.sqrt(np.clip(spectrum, 0, None)).sum()
    apart = np.square(mean_a - mean_b).sum() + np.trace(covariance_a) + np.trace(covariance_b) - 2 * overlap
    return max(float(apart), 0.0)


def extrapolated(a: Array, b: Array, seed: int = 0) -> float:
    """The distance that sets of endless size would have: the line through those of subsets over 1 / size, at 0.

    Both sets are thinned alike, so it is about 0 for two sets of one distribution; less than 0 is noise. Min Jin
    Chong and David Forsyth, "Effectively unbiased FID and Inception score and where to find them", 2020, who thin the
    made set alone.

    >>> x, y = np.random.default_rng(0).normal(size=(2, 4000, 4))
    >>> abs(extrapolated(x, y)) < 0.01
    True
    """
    a, b = checked_features(a, b)
    random, most = np.random.default_rng(seed), min(len(a), len(b))
    sizes = np.linspace(LEAST_SHARE * most, most, SIZES).astype(int)
    found = [frechet(*(random.choice(rows, size, replace=False) for rows in (a, b))) for size in sizes]
    return float(np.polynomial.Polynomial.fit(1 / sizes, found, 1)(0.0))


def covariance(rows: Array) -> Array:
    """Σ (x − m)(x − m)ᵀ / (N − 1), (D, D)."""
    centred = rows - rows.mean(0)
    return centred.T @ centred / (len(rows) - 1)


def square_root(matrix: Array) -> Array:
    """The symmetric root of a symmetric matrix (D, D) of no negative eigenvalues but for rounding.

    >>> square_root(np.diag([4.0, 9.0])).round(12).tolist()
    [[2.0, 0.0], [0.0, 3.0]]
    """
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T


def checked_features(a: Array, b: Array) -> tuple[Array, Array]:
    """Both sets in float64.

    Raises:
        InputError: as of `frechet`.
    """
    a, b = (np.asarray(rows, np.float64) for rows in (a, b))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise InputError(
            f"features are two sets of two or more rows of one width, and were given {a.shape} and {b.shape}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError("some features are NaN or infinite; look at the pictures they were made of")
    return a, b
