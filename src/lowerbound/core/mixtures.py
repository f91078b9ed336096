"""Mixtures of Gaussians as priors: Σ_k π_k N(μ_k, σ_k²), with a density that costs two matrix products."""

from __future__ import annotations

import math
from functools import singledispatch
from typing import Any, ClassVar, final

import torch
from torch import Size, Tensor, nn
from torch import distributions as D
from torch.distributions import Distribution, Independent, constraints

from lowerbound.core.conditionals import Conditional, half_clamped
from lowerbound.core.dependent import Dependent
from lowerbound.core.distributions import LogScaleNormal, Shape, widened


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
        log_density = torch.logsumexp(self._unscaled(value), -1) + self._log_scale
        return log_density.to(value.dtype)

    def log_joint(self, value: Tensor) -> Tensor:
        """log π_k + log N(z; μ_k, σ_k²) of each component, (..., D) -> (..., C)."""
        return (self._unscaled(value) + self._log_scale).to(value.dtype)

    @property
    def _log_scale(self) -> float:
        return -0.5 * math.log(2 * math.pi) * self.loc.shape[-1]

    def _unscaled(self, value: Tensor) -> Tensor:
        """log_joint without the constant that all components share, in float64."""
        z, loc, log_scale = value.double(), self.loc.double(), self.log_scale.double()
        precision = (-2 * log_scale).exp()
        exponents = z @ (precision * loc).T - 0.5 * (z.square() @ precision.T)
        return exponents + self.log_weights - (0.5 * precision * loc.square() + log_scale).sum(-1)


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

    @torch.no_grad()
    def start_at(self, weights: Tensor, means: Tensor, variances: Tensor) -> None:
        """Become the mixture with these weights (C,), means and variances (C, D)."""
        self.logits.copy_(weights.log())
        self.loc.copy_(means)
        self.log_variance.copy_(variances.log())


BEND = 0.1
"""By how much of a network's first output clusters are bent: few enough that each begins as one Gaussian."""


@final
class MixtureGiven(Conditional):
    """Σ_k π_k N(μ_k + a_k(w), σ_k² e^b_k(w)) over vectors: a learned mixture that what is given bends.

    net: w (..., W) -> (a, b), (..., C, D, 2), which counts for a tenth.

    >>> from lowerbound.nets import decoder
    >>> prior = MixtureGiven(decoder("mlp", 3, (10, 2), 2, (16,), "tanh"), components=10, dim=2)
    >>> prior(torch.zeros(5, 3)).log_prob(torch.zeros(5, 2)).shape
    torch.Size([5])
    """

    def __init__(self, net: nn.Module, components: int, dim: int) -> None:
        super().__init__()
        self.net, self.plain = net, MixturePrior(components, dim)

    def forward(self, *given: object) -> Distribution:
        shift, widening = (BEND * widened(self.net(*(g for g in given if g is not None)))).unbind(-1)
        log_scale = half_clamped(self.plain.log_variance + widening)
        parts = Independent(LogScaleNormal(self.plain.loc + shift, log_scale), 1, validate_args=False)
        weights = D.Categorical(logits=self.plain.logits.expand(parts.batch_shape), validate_args=False)
        return D.MixtureSameFamily(weights, parts, validate_args=False)

    def start_at(self, weights: Tensor, means: Tensor, variances: Tensor) -> None:
        """Become, but for what w says, the mixture with these weights (C,), means and variances (C, D)."""
        self.plain.start_at(weights, means, variances)


@singledispatch
def log_joint(mixture: Distribution, z: Tensor) -> Tensor:
    """log π_k + log p_k(z) of each component, (..., C); their softmax are the responsibilities p(k|z).

    Raises:
        ValueError: no mixture.
    """
    raise ValueError(f"{type(mixture).__name__} is no mixture, and has no components")


@log_joint.register
def _(mixture: GaussianMixture, z: Tensor) -> Tensor:
    return mixture.log_joint(z)


@log_joint.register
def _(mixture: D.MixtureSameFamily, z: Tensor) -> Tensor:
    each: Tensor = mixture.component_distribution.log_prob(z.unsqueeze(-1 - len(mixture.event_shape)))
    return each + mixture.mixture_distribution.logits.log_softmax(-1)


@log_joint.register
def _(mixture: Dependent, z: Tensor) -> Tensor:
    return log_joint(mixture.base_dist, z)


@singledispatch
def only(mixture: Distribution, number: int) -> Distribution:
    """The mixture with all its weight on one component; 0 is the first.

    >>> mixture = GaussianMixture(torch.tensor([0.5, 0.5]).log(), torch.tensor([[-1.0], [1.0]]), torch.zeros(2, 1))
    >>> only(mixture, 1).mean
    tensor([1.])
    """
    raise ValueError(f"{type(mixture).__name__} is no mixture, and has no components")


@only.register
def _(mixture: GaussianMixture, number: int) -> Distribution:
    return GaussianMixture(_certain_of(mixture.log_weights, number), mixture.loc, mixture.log_scale)


@only.register
def _(mixture: D.MixtureSameFamily, number: int) -> Distribution:
    logits = _certain_of(mixture.mixture_distribution.logits, number)
    weights = D.Categorical(logits=logits, validate_args=False)
    return D.MixtureSameFamily(weights, mixture.component_distribution, validate_args=False)


def _certain_of(log_weights: Tensor, number: int) -> Tensor:
    chosen = torch.arange(log_weights.shape[-1], device=log_weights.device) == number
    return torch.where(chosen, 0.0, -torch.inf).expand_as(log_weights)


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
