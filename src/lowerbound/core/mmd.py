"""Maximum mean discrepancy: how far two samples are from one distribution, by a kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from lowerbound.core.aggregate import codes, for_each_datum, prior_draws
from lowerbound.core.latent import Trace
from lowerbound.core.objectives import Objective

Kernel = Callable[[Tensor, Tensor], Tensor]
"""From points (N, D) and (M, D) to k, (N, M)."""


def gaussian_kernel(a: Tensor, b: Tensor) -> Tensor:
    """exp(−‖a − b‖²/D), (N, M): of unit height, and as wide as codes from N(0, I) are apart whatever D is.

    >>> gaussian_kernel(torch.zeros(1, 3), torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]))
    tensor([[1.0000, 0.3679]])
    """
    return torch.exp(-(a.unsqueeze(-2) - b.unsqueeze(-3)).square().mean(-1))


def inverse_multiquadric(a: Tensor, b: Tensor) -> Tensor:
    """2D/(2D + ‖a − b‖²), (N, M): of unit height and heavy tails, so that codes far from all others feel it too.

    The kernel of Ilya Tolstikhin, Olivier Bousquet, Sylvain Gelly and Bernhard Schölkopf, "Wasserstein auto-encoders",
    2018, at the scale that they take for the prior N(0, I).

    >>> inverse_multiquadric(torch.zeros(1, 3), torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 2.0]]))
    tensor([[1.0000, 0.5000]])
    """
    return 1 / (1 + (a.unsqueeze(-2) - b.unsqueeze(-3)).square().mean(-1) / 2)


def mmd(a: Tensor, b: Tensor, kernel: Kernel = gaussian_kernel) -> Tensor:
    """MMD² = E k(a, a') + E k(b, b') − 2 E k(a, b), from samples (N, D) and (M, D), N, M ≥ 2.

    The unbiased estimate, in which no point is compared with itself; so it may be below zero. Arthur Gretton,
    Karsten M. Borgwardt, Malte J. Rasch, Bernhard Schölkopf and Alexander Smola, "A kernel two-sample test", 2012.
    """
    return among(kernel(a, a)) + among(kernel(b, b)) - 2 * kernel(a, b).mean()


def among(k: Tensor) -> Tensor:
    """The mean of k (N, N) off its diagonal; 0 for a single point, which has no pair."""
    n = len(k)
    return (k.sum() - k.diagonal().sum()) / max(n * (n - 1), 1)


@final
class MMD(Objective):
    """MMD² between the codes of the batch and as many draws of the prior, the mean over particles.

    One number for the batch, the same for each datum. Shengjia Zhao, Jiaming Song and Stefano Ermon, "InfoVAE:
    balancing learning and inference in variational autoencoders", 2019.
    """

    def __init__(self, kernel: Kernel = gaussian_kernel) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        each = torch.stack([mmd(z, p, self.kernel) for z, p in zip(codes(trace), prior_draws(trace))])
        return {"mmd": for_each_datum(each.mean(), trace)}
