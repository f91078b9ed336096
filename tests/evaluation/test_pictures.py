"""PSNR and SSIM against a plain loop over windows, and against scikit-image where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

from agree import refused
from lowerbound.evaluation.pictures import psnr, ssim


def pair(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, shape).astype(np.uint8)
    return a, np.clip(a + rng.normal(0, 40, shape), 0, 255).astype(np.uint8)


def by_windows(a: np.ndarray, b: np.ndarray, top: float) -> float:
    """The definition, window by window, of one picture of one channel."""
    steps = np.arange(11) - 5
    row = np.exp(-0.5 * (steps / 1.5) ** 2)
    weights = np.outer(row, row) / row.sum() ** 2
    found = []
    for i in range(a.shape[0] - 10):
        for j in range(a.shape[1] - 10):
            x, y = a[i : i + 11, j : j + 11].astype(float), b[i : i + 11, j : j + 11].astype(float)
            mx, my = (weights * x).sum(), (weights * y).sum()
            vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
            cov = (weights * (x - mx) * (y - my)).sum()
            c1, c2 = (0.01 * top) ** 2, (0.03 * top) ** 2
            found.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return float(np.mean(found))


def test_ssim_is_its_definition() -> None:
    a, b = pair(3, 14, 17, 2)
    wanted = [np.mean([by_windows(a[i, ..., c], b[i, ..., c], 255) for c in range(2)]) for i in range(3)]
    assert np.allclose(ssim(a, b, 255), wanted, atol=1e-12)
    assert np.allclose(ssim(a[..., 0], b[..., 0], 255)[0], by_windows(a[0, ..., 0], b[0, ..., 0], 255), atol=1e-12)


def test_both_are_scikit_images() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    a, b = pair(2, 32, 32, 3)
    how = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    for i in range(2):
        theirs = metrics.structural_similarity(a[i].astype(float), b[i].astype(float), channel_axis=-1, **how)
        assert abs(ssim(a, b, 255)[i] - theirs) < 1e-9
        assert abs(psnr(a, b, 255)[i] - metrics.peak_signal_noise_ratio(a[i], b[i], data_range=255)) < 1e-9


def test_psnr_is_a_logarithm_of_the_squared_error() -> None:
    a, b = pair(4, 8, 8)
    error = ((a.astype(float) - b) ** 2).mean((1, 2))
    assert np.allclose(psnr(a, b, 255), 20 * np.log10(255) - 10 * np.log10(error))
    assert np.isinf(psnr(a, a, 255)).all()


def test_what_is_no_pair_of_pictures_is_refused() -> None:
    a, b = pair(2, 12, 12)
    sentence = "pictures are compared two by two, (N, H, W) or (N, H, W, C) with sides of 11 or more, not"
    for left, right in ((a, b[:1]), (a[0], b[0]), (a[:, :8], b[:, :8])):
        with refused(f"{sentence} {left.shape} with {right.shape}"):
            ssim(left, right, 255)
