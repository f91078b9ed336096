"""Mixtures of Gaussians as priors: Σ_k π_k N(μ_k, σ_k²), with a density that costs two matrix products."""

from __future__ import annotations

import math
from typing import Any, ClassVar, final

import torch
from torch import Size, Tensor, nn
from torch import distributions as D
from torch.distributions import Distribution, Independent, constraints

from lowerbound.core.conditionals import Conditional, half_clamped
from lowerbound.core.distributions import LogScaleNormal, Shape


@final
class GaussianMixture(Distribution):
    """Σ_k π_k Π_d N(μ_kd, σ_kd²) over vectors.

    log_weights (C,), normalised; loc, log_scale (C, D). The exponents of all components are two products of matrices,
    z²·σ⁻² and z·μσ⁻², so that memory is N × C where the plain form takes N × C × D. They are computed in float64: the
    squares are large, their difference is small, and no setting that rounds products of float32 reaches them.

    >>> mixture = GaussianMixture(torch.tensor([0.5, 0.5]).log(), torch.tensor([[-1.0], [1.0]]), torch.zeros(2, 1))
    >>> mixture.log_prob(torch.zeros(3, 1)), mixture.mean, mixture.variance
    (tensor([-1.4189, -1.4189, -1.4189]), tensor([0.]), tensor([2.]))
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real_vector

    def __init__(self, log_weights: Tensor, loc: Tensor, log_scale: Tensor) -> None:
        self.log_weights, self.loc, self.log_scale = log_weights, loc, log_scale
        super().__init__(Size(), loc.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.log_weights.exp() @ self.loc

    @property
    def variance(self) -> Tensor:
        around = (2 * self.log_scale).exp() + (self.loc - self.mean).square()
        return self.log_weights.exp() @ around

    @torch.no_grad()
    def sample(self, sample_shape: Shape = Size()) -> Tensor:  # noqa: B008
        rows = torch.multinomial(self.log_weights.exp(), math.prod(sample_shape), replacement=True)
        drawn = torch.addcmul(self.loc[rows], self.log_scale[rows].exp(), torch.randn_like(self.loc[rows]))
        return drawn.reshape(*sample_shape, *self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        z, loc, log_scale = value.double(), self.loc.double(), self.log_scale.double()
        precision = (-2 * log_scale).exp()
        exponents = z @ (precision * loc).T - 0.5 * (z.square() @ precision.T)
        constants = self.log_weights - (0.5 * precision * loc.square() + log_scale).sum(-1)
        log_density = torch.logsumexp(exponents + constants, -1) - 0.5 * math.log(2 * math.pi) * loc.shape[-1]
        return log_density.to(value.dtype)


@final
class MixturePrior(Conditional):
    """A learned mixture of C factorised Gaussians over vectors of `dim` numbers; at first N(0, I) on average.

    >>> MixturePrior(components=10, dim=2)().sample((5,)).shape
    torch.Size([5, 2])
    """

    def __init__(self, components: int, dim: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(torch.randn(components, dim) * math.sqrt(0.5))
        self.log_variance = nn.Parameter(torch.full((components, dim), math.log(0.5)))

    def forward(self, *given: object) -> Distribution:
        return GaussianMixture(self.logits.log_softmax(-1), self.loc, half_clamped(self.log_variance))


def equal_mixture(parts: Distribution) -> Distribution:
    """(1/C) Σ_k p_k of a batch of C distributions.

    >>> from lowerbound.core import standard_normal
    >>> equal_mixture(standard_normal(2)().expand((5,))).batch_shape
    torch.Size([])
    """
    base = parts.base_dist if isinstance(parts, Independent) else None
    if isinstance(base, LogScaleNormal) and parts.event_shape == base.loc.shape[-1:]:
        weights = base.loc.new_full(parts.batch_shape, -math.log(len(base.loc)))
        return GaussianMixture(weights, base.loc, base.log_scale.expand_as(base.loc))
    even = D.Categorical(logits=parts.mean.new_zeros(parts.batch_shape), validate_args=False)
    return D.MixtureSameFamily(even, parts, validate_args=False)
