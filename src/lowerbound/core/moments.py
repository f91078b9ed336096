"""The covariance of the codes over the data, held to the identity."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from lowerbound.core.aggregate import for_each_datum
from lowerbound.core.latent import Trace
from lowerbound.core.objectives import Objective

Covariance = Callable[[Trace], Tensor]
"""From a trace to a covariance over the batch, (D, D)."""


def covariance_of_means(trace: Trace) -> Tensor:
    """Cov_x(E[z|x]) over the batch, (D, D), the divisor being B."""
    means = torch.cat([q.mean.flatten(1) for q, _ in trace.pairs.values()], 1)
    centred = means - means.mean(0)
    return centred.T @ centred / len(means)


def covariance_of_codes(trace: Trace) -> Tensor:
    """Cov(z) under q(z) = E_x[q(z|x)] over the batch: Cov_x(E[z|x]) + E_x[Var(z|x)], (D, D)."""
    variances = torch.cat([q.variance.flatten(1) for q, _ in trace.pairs.values()], 1)
    return covariance_of_means(trace) + torch.diag(variances.mean(0))


@final
class OffDiagonal(Objective):
    """Σ_{i≠j} C_ij²: codes that are uncorrelated cost nothing. One number for the batch, the same for each datum.

    Abhishek Kumar, Prasanna Sattigeri and Avinash Balakrishnan, "Variational inference of disentangled latent concepts
    from unlabeled observations", 2018: C is `covariance_of_means` in their DIP-VAE-I, `covariance_of_codes` in
    DIP-VAE-II.
    """

    def __init__(self, covariance: Covariance) -> None:
        super().__init__()
        self.covariance = covariance

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        squares = self.covariance(trace).square()
        return {"covariance": for_each_datum(squares.sum() - squares.diagonal().sum(), trace)}


@final
class Diagonal(Objective):
    """Σ_i (C_ii − 1)²: codes of unit variance cost nothing. See `OffDiagonal`."""

    def __init__(self, covariance: Covariance) -> None:
        super().__init__()
        self.covariance = covariance

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        diagonal = self.covariance(trace).diagonal()
        return {"variance": for_each_datum((diagonal - 1).square().sum(), trace)}
