"""Gaussian posteriors whose dimensions are correlated: with a full covariance, and with one of low rank."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import (
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    kl_divergence,
    register_kl,
)

from lowerbound.core.conditionals import Conditional, half_clamped
from lowerbound.core.distributions import LogScaleNormal, StandardNormal, widened
from lowerbound.core.estimators import detached


@final
class FullGaussian(Conditional):
    """N(μ, LLᵀ) with L = diag(σ)(I + N/√D), N strictly lower triangular: any covariance there is.

    The network gives `full_width(D)` numbers: μ, log σ² and what is below N's diagonal. Since N stands beside σ, the
    correlations it makes do not change when a scale does, and log |L| is the sum of the clamped log σ.

    >>> q = FullGaussian(nn.Linear(4, full_width(3)), 3)(torch.zeros(5, 4))
    >>> q.batch_shape, q.scale_tril.shape
    (torch.Size([5]), torch.Size([5, 3, 3]))
    """

    below: Tensor

    def __init__(self, net: nn.Module, dim: int) -> None:
        super().__init__()
        self.net, self.dim = net, dim
        row, column = torch.tril_indices(dim, dim, -1)
        self.register_buffer("below", row * dim + column, persistent=False)

    def forward(self, *given: object) -> Distribution:
        h = widened(self.net(*(g for g in given if g is not None)))
        loc, log_variance, lower = h.split([self.dim, self.dim, len(self.below)], -1)
        unit = torch.eye(self.dim, dtype=h.dtype, device=h.device) + self._square(lower) / math.sqrt(self.dim)
        scale_tril = half_clamped(log_variance).exp().unsqueeze(-1) * unit
        return MultivariateNormal(loc, scale_tril=scale_tril, validate_args=False)

    def _square(self, lower: Tensor) -> Tensor:
        """The numbers below the diagonal of a square of zeros, (..., D(D−1)/2) -> (..., D, D)."""
        empty = lower.new_zeros((*lower.shape[:-1], self.dim**2))
        return empty.index_copy(-1, self.below, lower).unflatten(-1, (self.dim, self.dim))


def full_width(dim: int) -> int:
    """How many numbers `FullGaussian` needs of its network: D means, D variances, D(D−1)/2 below the diagonal.

    >>> full_width(3)
    9
    """
    return dim * (dim + 3) // 2


@final
class LowRankGaussian(Conditional):
    """N(μ, S(I + RRᵀ/D)S) with S = diag(σ) and R of size D × rank: a few directions that dimensions share.

    The network gives D·(2 + rank) numbers. Density and draws cost D·rank² where a full covariance costs D².

    >>> q = LowRankGaussian(nn.Linear(4, 3 * (2 + 1)), 3, rank=1)(torch.zeros(5, 4))
    >>> q.batch_shape, q.covariance_matrix.shape
    (torch.Size([5]), torch.Size([5, 3, 3]))
    """

    def __init__(self, net: nn.Module, dim: int, rank: int) -> None:
        super().__init__()
        self.net, self.dim, self.rank = net, dim, rank

    def forward(self, *given: object) -> Distribution:
        h = widened(self.net(*(g for g in given if g is not None)))
        loc, log_variance, factor = h.unflatten(-1, (self.dim, 2 + self.rank)).split([1, 1, self.rank], -1)
        scale = half_clamped(log_variance).exp()
        shared = scale * factor / math.sqrt(self.dim)
        return LowRankMultivariateNormal(loc.squeeze(-1), shared, scale.square().squeeze(-1), validate_args=False)


@detached.register
def _(q: LowRankMultivariateNormal) -> Distribution:
    factor, diagonal = q._unbroadcasted_cov_factor.detach(), q._unbroadcasted_cov_diag.detach()
    return LowRankMultivariateNormal(q.loc.detach(), factor, diagonal, validate_args=False)


@register_kl(MultivariateNormal, Independent)
def _kl_full_independent(q: MultivariateNormal, p: Independent) -> Tensor:
    return _against(q.scale_tril.square().sum(-1), q.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1), q.loc, p)


@register_kl(LowRankMultivariateNormal, Independent)
def _kl_low_rank_independent(q: LowRankMultivariateNormal, p: Independent) -> Tensor:
    capacity = q._capacitance_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return _against(q.variance, 0.5 * q._unbroadcasted_cov_diag.log().sum(-1) + capacity, q.loc, p)


def _against(variance: Tensor, half_log_det: Tensor, loc: Tensor, p: Independent) -> Tensor:
    """KL(N(loc, Σ) ‖ p) for p of independent normals: what the variances cost as if alone, and Σ's correlations.

    variance: Σ's diagonal (..., D). half_log_det: ½ log |Σ|.
    """
    if p.reinterpreted_batch_ndims != 1 or not isinstance(p.base_dist, StandardNormal | LogScaleNormal):
        raise NotImplementedError
    log_scale = 0.5 * variance.log()
    alone = kl_divergence(LogScaleNormal(loc, log_scale), p.base_dist)
    return alone.sum(-1) + log_scale.sum(-1) - half_log_det
