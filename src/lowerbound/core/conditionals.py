"""Conditional distributions: modules from what is given to a distribution.

A network may be any `nn.Module`. It is called with what is given (None left out) and returns, for an event of shape E
with P = `per_value` numbers to each value, a tensor (..., *E, P), or (..., *E) when P is 1. Whatever its precision,
parameters are widened to float32 before anything is computed from them, so log-likelihoods add up in float32 at least.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, final

import torch
from torch import Tensor, nn
from torch import distributions as D
from torch.distributions import Distribution, Independent

from lowerbound.core.bernoulli import LogitBernoulli
from lowerbound.core.categorical import LogitCategorical
from lowerbound.core.certain import Flat, PointMass
from lowerbound.core.distributions import ContinuousBernoulli as ContinuousBernoulliDistribution
from lowerbound.core.distributions import DiscretizedLogistic as DiscretizedLogisticDistribution
from lowerbound.core.distributions import LogScaleNormal, StandardNormal, widened
from lowerbound.core.distributions import NegativeBinomial as NegativeBinomialDistribution

# log σ² is kept in here: e^±7.5 as a scale, far beyond what data scaled to unit size can ask for.
LOG_VARIANCE_RANGE = (-15.0, 15.0)
LOG_RATE_RANGE = (-15.0, 15.0)


class Conditional(nn.Module, ABC):
    """p(· | given): a module that returns a distribution."""

    @abstractmethod
    def forward(self, *given: object) -> Distribution:
        """The distribution given these; batch shape (...), event shape E."""


class Parametric(Conditional, ABC):
    """A network's output read as the parameters of an elementwise family, independent over the event."""

    per_value: ClassVar[int]

    def __init__(self, net: nn.Module, event_dims: int = 1) -> None:
        super().__init__()
        self.net, self.event_dims = net, event_dims

    def forward(self, *given: object) -> Distribution:
        return self.at(self.net(*(g for g in given if g is not None)))

    @final
    def at(self, h: Tensor) -> Distribution:
        """The distribution that this output of the network stands for."""
        return Independent(self.family(h), self.event_dims, validate_args=False)

    @abstractmethod
    def family(self, h: Tensor) -> Distribution:
        """The elementwise distribution with parameters h, (..., *E, P) or (..., *E), in the network's precision."""


def half_clamped(log_variance: Tensor) -> Tensor:
    """log σ from log σ², clamped."""
    return 0.5 * log_variance.clamp(*LOG_VARIANCE_RANGE)


@final
class Gaussian(Parametric):
    """N(μ, σ²), both from the network, which gives (μ, log σ²) in its last dimension.

    As a posterior it is the VAE's encoder; as a likelihood, the Gaussian with predicted σ.

    >>> q = Gaussian(nn.Sequential(nn.Linear(4, 6), nn.Unflatten(-1, (3, 2))))(torch.zeros(5, 4))
    >>> q.batch_shape, q.event_shape
    (torch.Size([5]), torch.Size([3]))
    """

    per_value = 2

    def family(self, h: Tensor) -> Distribution:
        loc, log_variance = widened(h).unbind(-1)
        return LogScaleNormal(loc, half_clamped(log_variance))


class Even(Parametric, ABC):
    """A location from the network, and one scale for all data.

    log_scale: a tensor keeps the scale fixed, an `nn.Parameter` learns it; a scalar is one scale, a tensor of the
    event's shape one per dimension.
    """

    per_value = 1

    def __init__(self, net: nn.Module, log_scale: Tensor | nn.Parameter, event_dims: int = 1) -> None:
        super().__init__(net, event_dims)
        self.log_scale: Tensor
        register(self, "log_scale", log_scale)

    @final
    @property
    def clamped(self) -> Tensor:
        """log of the scale, clamped."""
        return half_clamped(2 * self.log_scale)


@final
class Homoscedastic(Even):
    """N(μ, σ²) with μ from the network and σ the same for all data.

    log_scale: log σ, see `Even`.

    >>> Homoscedastic(nn.Identity(), torch.zeros(()))(torch.zeros(2)).log_prob(torch.zeros(2))
    tensor(-1.8379)
    """

    def family(self, h: Tensor) -> Distribution:
        return LogScaleNormal(widened(h), self.clamped)


def squared_error(net: nn.Module, event_dims: int = 1) -> Homoscedastic:
    """ "MSE + KL" by its true name: −log p(x|z) = ‖x−μ‖² + (D/2) log π, the Gaussian with σ² = ½.

    >>> d = squared_error(nn.Identity())(torch.zeros(1))
    >>> round(float(d.log_prob(torch.zeros(1)) - d.log_prob(torch.tensor([3.0]))), 5)
    9.0
    """
    return Homoscedastic(net, torch.tensor(0.5 * math.log(0.5)), event_dims)


@final
class Laplace(Parametric):
    """Laplace(μ, b) with (μ, log b²) from the network: absolute rather than squared error, robust to outliers."""

    per_value = 2

    def family(self, h: Tensor) -> Distribution:
        loc, log_variance = widened(h).unbind(-1)
        return D.Laplace(loc, half_clamped(log_variance).exp(), validate_args=False)


@final
class EvenLaplace(Even):
    """Laplace(μ, b) with μ from the network and one b for all data: absolute error with a learned price.

    −log p(x|z) = Σ|x−μ|/b + D log 2b nats, so at a fixed b "L1 + KL" is this likelihood with a weight on the rate.

    log_scale: log b, see `Even`.

    >>> EvenLaplace(nn.Identity(), torch.zeros(()))(torch.zeros(2)).log_prob(torch.zeros(2))
    tensor(-1.3863)
    """

    def family(self, h: Tensor) -> Distribution:
        return D.Laplace(widened(h), self.clamped.exp(), validate_args=False)


@final
class Bernoulli(Parametric):
    """Binary data, from logits.

    >>> Bernoulli(nn.Identity())(torch.zeros(3)).log_prob(torch.ones(3))
    tensor(-2.0794)
    """

    per_value = 1

    def family(self, h: Tensor) -> Distribution:
        return LogitBernoulli(h)


@final
class ContinuousBernoulli(Parametric):
    """Values in [0, 1] as a density, from logits: what "Bernoulli on grey pixels" leaves unnormalised."""

    per_value = 1

    def family(self, h: Tensor) -> Distribution:
        return ContinuousBernoulliDistribution(widened(h))


@final
class Categorical(Parametric):
    """One of `classes` symbols per value, from logits (..., *E, classes)."""

    def __init__(self, net: nn.Module, classes: int, event_dims: int = 1) -> None:
        super().__init__(net, event_dims)
        self.per_value = classes  # type: ignore[misc]  # here the number depends on the data

    def family(self, h: Tensor) -> Distribution:
        # A single class, as of a constant column, comes without a dimension of its own.
        return LogitCategorical(h.unsqueeze(-1) if self.per_value == 1 else h)


@final
class OneHot(Conditional):
    """Categorical latents as one-hot vectors, from logits (..., classes): networks can read them as they are.

    event_dims: 1 for a single one; 2 for several independent ones, (..., D, classes).

    >>> OneHot(nn.Identity(), 2)(torch.zeros(5, 4, 3)).event_shape
    torch.Size([4, 3])
    """

    def __init__(self, net: nn.Module, event_dims: int = 1) -> None:
        super().__init__()
        self.net, self.event_dims = net, event_dims

    def forward(self, *given: object) -> Distribution:
        logits = widened(self.net(*(g for g in given if g is not None)))
        return one_hot(logits, self.event_dims)


def one_hot(logits: Tensor, event_dims: int = 1) -> Distribution:
    """One-hot vectors from logits (..., classes), independent over all but the last of the event's dimensions."""
    each = D.OneHotCategorical(logits=logits, validate_args=False)
    return Independent(each, event_dims - 1, validate_args=False) if event_dims > 1 else each


@final
class DiscretizedLogistic(Parametric):
    """Integers 0 … levels−1 (bytes), from (μ, log s²) on the scale [−1, 1]."""

    per_value = 2

    def __init__(self, net: nn.Module, levels: int = 256, event_dims: int = 1) -> None:
        super().__init__(net, event_dims)
        self.levels = levels

    def family(self, h: Tensor) -> Distribution:
        loc, log_variance = widened(h).unbind(-1)
        return DiscretizedLogisticDistribution(loc, half_clamped(log_variance), self.levels)


@final
class DiscretizedLogisticMixture(Parametric):
    """Integers 0 … levels−1 from a mixture of discretised logistics: (logit, μ, log s²) for each component."""

    def __init__(self, net: nn.Module, components: int = 5, levels: int = 256, event_dims: int = 1) -> None:
        super().__init__(net, event_dims)
        self.per_value, self.levels = 3 * components, levels  # type: ignore[misc]
        # Components that start alike stay alike; spread them over the range of the data.
        self.offset: Tensor
        self.register_buffer("offset", torch.linspace(-1, 1, components))

    def family(self, h: Tensor) -> Distribution:
        logits, loc, log_variance = widened(h).chunk(3, dim=-1)
        component = DiscretizedLogisticDistribution(loc + self.offset, half_clamped(log_variance), self.levels)
        weights = D.Categorical(logits=logits, validate_args=False)
        return D.MixtureSameFamily(weights, component, validate_args=False)


@final
class Poisson(Parametric):
    """Counts, from the log rate."""

    per_value = 1

    def family(self, h: Tensor) -> Distribution:
        return D.Poisson(widened(h).clamp(*LOG_RATE_RANGE).exp(), validate_args=False)


@final
class NegativeBinomial(Parametric):
    """Over-dispersed counts, from (log mean, log r): variance = mean + mean²/r.

    >>> d = NegativeBinomial(nn.Identity())(torch.tensor([[0.0, 0.0]]))
    >>> d.mean, d.variance
    (tensor([1.]), tensor([2.]))
    """

    per_value = 2

    def family(self, h: Tensor) -> Distribution:
        log_mean, log_r = widened(h).clamp(*LOG_RATE_RANGE).unbind(-1)
        return NegativeBinomialDistribution(log_mean, log_r)


@final
class Point(Parametric):
    """All mass on the network's output: the plain autoencoder's code."""

    per_value = 1

    def family(self, h: Tensor) -> Distribution:
        return PointMass(widened(h))


@final
class LayeredPoint(Conditional):
    """All mass on the last of a network's layers; the distribution keeps them all, for penalties on what is active.

    The network gives a tuple of layers, each (..., width).

    >>> q = LayeredPoint(lambda x: (x.sigmoid(), x.tanh()))(torch.zeros(5, 3))
    >>> q.event_shape, len(q.base_dist.layers)
    (torch.Size([3]), 2)
    """

    def __init__(self, net: Callable[..., tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.net = net

    def forward(self, *given: object) -> Distribution:
        layers = tuple(widened(h) for h in self.net(*(g for g in given if g is not None)))
        return Independent(PointMass(layers[-1], layers), 1, validate_args=False)


@final
class Fixed(Conditional):
    """The same distribution whatever is given, rebuilt at each call so that it follows the module's device and type.

    build: from the named tensors to the distribution. A tensor is kept fixed; an `nn.Parameter` is learned.

    >>> prior = Fixed(lambda logits: D.OneHotCategorical(logits=logits), logits=nn.Parameter(torch.zeros(10)))
    >>> prior().event_shape
    torch.Size([10])
    """

    def __init__(self, build: Callable[..., Distribution], **tensors: Tensor | nn.Parameter) -> None:
        super().__init__()
        self.build, self.names = build, tuple(tensors)
        for name, value in tensors.items():
            register(self, name, value)

    def forward(self, *given: object) -> Distribution:
        return self.build(**{name: getattr(self, name) for name in self.names})


def register(module: nn.Module, name: str, value: Tensor | nn.Parameter) -> None:
    """Keep a parameter as something to learn and any other tensor as a constant that moves with the module."""
    if isinstance(value, nn.Parameter):
        module.register_parameter(name, value)
    else:
        module.register_buffer(name, value)


def standard_normal(*event: int) -> Fixed:
    """The prior N(0, I) over an event of this shape.

    >>> standard_normal(2)().log_prob(torch.zeros(2))
    tensor(-1.8379)
    """
    return Fixed(
        lambda like: Independent(StandardNormal(like), len(event), validate_args=False),
        like=torch.zeros(event),
    )


def flat(*event: int) -> Fixed:
    """The improper prior log p(z) = 0: with a `Point` posterior, a plain autoencoder."""
    return Fixed(lambda like: Independent(Flat(like), len(event), validate_args=False), like=torch.zeros(event))
