"""How like two pictures are: peak signal-to-noise ratio and structural similarity."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.errors import InputError
from lowerbound.evaluation.rawdata import Array

WINDOW, SPREAD = 11, 1.5
"""Side of the window that structure is compared in, and the standard deviation of its Gaussian weights, in pixels."""

STEADY = (0.01, 0.03)
"""What keeps the ratios of means and of deviations steady where both are small, as shares of the range."""


def psnr(a: Array, b: Array, top: float) -> Array:
    """10 log₁₀(top² / mean squared error) of each pair of pictures, in decibels; (N, H, W[, C]) twice -> (N,).

    top: the range of a value, 255 for bytes. Infinite where two pictures are the same.

    >>> psnr(np.zeros((1, 2, 2)), np.full((1, 2, 2), 25.5), top=255).tolist()
    [20.0]
    """
    left, right = _pairs(a, b, side=1)
    error = np.square(left - right).reshape(len(left), -1).mean(1)
    with np.errstate(divide="ignore"):
        found: Array = 10 * np.log10(top**2 / error)
    return found


def ssim(a: Array, b: Array, top: float) -> Array:
    """Structural similarity of each pair of pictures, (N, H, W[, C]) twice -> (N,); 1 where they are the same.

        (2μ_a μ_b + c₁)(2σ_ab + c₂) / ((μ_a² + μ_b² + c₁)(σ_a² + σ_b² + c₂)),    c = (0.01 top)², (0.03 top)²

    with means and covariances under a Gaussian window of 11 x 11 pixels, its standard deviation 1.5; a mean over all
    places where the window lies within the picture, and over the channels. top: the range of a value.

    Zhou Wang, Alan C. Bovik, Hamid R. Sheikh and Eero P. Simoncelli, "Image quality assessment: from error visibility
    to structural similarity", 2004.

    >>> x = np.random.default_rng(0).uniform(size=(2, 16, 16, 3))
    >>> ssim(x, x, top=1.0).round(6).tolist()
    [1.0, 1.0]
    """
    x, y = (_channels(torch.from_numpy(each)) for each in _pairs(a, b, WINDOW))
    mean_x, mean_y = _local(x), _local(y)
    around = {"xx": mean_x * mean_x, "yy": mean_y * mean_y, "xy": mean_x * mean_y}
    cov = {name: _local(p * q) - around[name] for name, p, q in (("xx", x, x), ("yy", y, y), ("xy", x, y))}
    c1, c2 = ((share * top) ** 2 for share in STEADY)
    alike = (2 * around["xy"] + c1) * (2 * cov["xy"] + c2)
    apart = (around["xx"] + around["yy"] + c1) * (cov["xx"] + cov["yy"] + c2)
    found: Array = (alike / apart).flatten(1).mean(1).numpy()
    return found


def _local(pictures: Tensor) -> Tensor:
    """Weighted means around each place, (N, C, H, W) -> (N, C, H − 10, W − 10)."""
    channels, steps = pictures.shape[1], torch.arange(WINDOW, dtype=pictures.dtype) - WINDOW // 2
    weights = torch.exp(-0.5 * (steps / SPREAD).square())
    row = (weights / weights.sum()).expand(channels, 1, 1, WINDOW)
    return F.conv2d(F.conv2d(pictures, row, groups=channels), row.mT, groups=channels)


def _channels(pictures: Tensor) -> Tensor:
    """(N, H, W[, C]) with the channels in front."""
    return pictures.unsqueeze(1) if pictures.dim() == 3 else pictures.permute(0, 3, 1, 2)


def _pairs(a: Array, b: Array, side: int) -> tuple[Array, Array]:
    """Both in double precision; refused where they are no pairs of pictures, or narrower than the window."""
    if a.shape != b.shape or a.ndim not in (3, 4) or min(a.shape[1:3]) < side:
        raise InputError(
            f"pictures are compared two by two, (N, H, W) or (N, H, W, C) with sides of {side} or more, not "
            f"{a.shape} with {b.shape}"
        )
    return a.astype(np.float64), b.astype(np.float64)
