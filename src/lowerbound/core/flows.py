"""Distributions pushed through an invertible map: normalising flows as posteriors and as priors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, ClassVar, Protocol, final

import torch
from torch import Size, Tensor, nn
from torch.distributions import Distribution, Independent, constraints

from lowerbound.core.conditionals import Conditional, half_clamped, standard_normal
from lowerbound.core.distributions import LogScaleNormal, Shape, widened
from lowerbound.core.estimators import detached
from lowerbound.core.frozen import frozen

MOMENT_POINTS = 64
"""Points that mean and variance are taken over; even, since each comes with its mirror image."""

Map = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]
"""(value (..., D), context) -> (image (..., D), log |det Jacobian| (...,))."""


class Invertible(Protocol):
    """A network that can be walked both ways; see `nets.invertible`. One way may be much dearer than the other."""

    def forward(self, value: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The image and log |det| of the map's Jacobian."""

    def inverse(self, value: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What has this image, and log |det| of the inverse's Jacobian."""


@final
@dataclass(frozen=True, eq=False)
class Drawn:
    """A draw and its log density, as it came about on the way."""

    value: Tensor
    log_prob: Tensor
    differentiable: bool

    def serves(self, value: Tensor) -> bool:
        """Whether this is the very draw, and the density known of it carries the gradient that is asked for."""
        return value is self.value and (self.differentiable or not torch.is_grad_enabled())


@final
class Pushed(Distribution):
    """The distribution of f(ε), ε ~ base: log p(z) = log base(ε) − log |det ∂f/∂ε| at ε = f⁻¹(z).

    The density of a draw is known as it is drawn. It is kept with the last draw and given for that very tensor, so
    that scoring one's own draw takes no inverse; of any other value it is computed. Do not write into a draw.

    forth: f, back: f⁻¹, each of a value and the context, (*batch, C) or None. base: over vectors, batch shape (*batch).
    mean, variance: over `MOMENT_POINTS` fixed points of the base, for there is no closed form; no chance is in them.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, base: Distribution, forth: Map, back: Map, context: Tensor | None = None) -> None:
        self.base, self.forth, self.back, self.context = base, forth, back, context
        self.last: Drawn | None = None
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self._images().mean(0)

    @property
    def variance(self) -> Tensor:
        return self._images().var(0, correction=0)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Pushed:
        context = None if self.context is None else self.context.expand(*batch_shape, -1)
        return Pushed(self.base.expand(batch_shape), self.forth, self.back, context)

    def rsample(self, sample_shape: Shape = Size()) -> Tensor:  # noqa: B008
        noise = self.base.rsample(sample_shape)
        z, log_det = self.forth(noise, self.context)
        self.last = Drawn(z, self.base.log_prob(noise) - log_det, torch.is_grad_enabled())
        return z

    def log_prob(self, value: Tensor) -> Tensor:
        if self.last is not None and self.last.serves(value):
            return self.last.log_prob
        noise, log_det = self.back(value, self.context)
        return self.base.log_prob(noise) + log_det

    def _images(self) -> Tensor:
        """The images of the base's fixed points, (S, *batch, D)."""
        scale = self.base.variance.sqrt()
        points = normal_points(*self.event_shape).to(scale).unflatten(0, (-1, *(1,) * len(self.batch_shape)))
        return self.forth(self.base.mean + scale * points, self.context)[0]


@cache
def normal_points(dim: int) -> Tensor:
    """`MOMENT_POINTS` points spread like N(0, I), (S, dim): scrambled Sobol points and their mirror images.

    >>> normal_points(3).sum(0).abs().max() < 1e-9
    tensor(True)
    """
    even = torch.quasirandom.SobolEngine(dim, scramble=True, seed=0).draw(MOMENT_POINTS // 2, dtype=torch.float64)
    points = torch.special.ndtri(even.clamp(1e-6, 1 - 1e-6))
    return torch.cat([points, -points])


@final
class Way(nn.Module):
    """A network's map, there or back, as a network of its own: so it can be called `frozen`."""

    def __init__(self, flow: nn.Module, name: str) -> None:
        super().__init__()
        self.flow, self.name = flow, name

    def forward(self, value: Tensor, context: Tensor | None = None) -> Any:
        return getattr(self.flow, self.name)(value, context)


def both_ways(flow: Any) -> tuple[Way, Way]:
    """The map and its inverse; in a tuple, so that whoever keeps them beside the flow saves its weights once."""
    return Way(flow, "forward"), Way(flow, "inverse")


def held(way: Any) -> Map:
    """The map with its network's parameters cut from the graph."""
    return partial(frozen, way)


@final
class FlowPosterior(Conditional):
    """z = f(μ + σε; h) with ε ~ N(0, I): a factorised Gaussian bent by a flow, all of it from the network.

    The network gives μ, log σ² (D each) and the flow's context h, `context` numbers. A draw takes f alone, and its
    density comes with it; another value's takes f⁻¹.

    Danilo J. Rezende and Shakir Mohamed, "Variational inference with normalizing flows", 2015; of an autoregressive f,
    Diederik P. Kingma et al., "Improving variational inference with inverse autoregressive flow", 2016.
    """

    def __init__(self, net: nn.Module, flow: Invertible, dim: int, context: int) -> None:
        super().__init__()
        self.net, self.flow, self.sizes = net, flow, [dim, dim, context]
        self.ways = both_ways(flow)

    def forward(self, *given: object) -> Distribution:
        loc, log_variance, context = widened(self.net(*(g for g in given if g is not None))).split(self.sizes, -1)
        base = Independent(LogScaleNormal(loc, half_clamped(log_variance)), 1, validate_args=False)
        return Pushed(base, *self.ways, context)


@final
class FlowPrior(Conditional):
    """z = f⁻¹(ε), ε ~ N(0, I), over vectors of `dim` numbers: a density takes f alone, a draw f⁻¹.

    George Papamakarios, Theo Pavlakou and Iain Murray, "Masked autoregressive flow for density estimation", 2017; as a
    prior of codes, Xi Chen et al., "Variational lossy autoencoder", 2017.
    """

    def __init__(self, flow: Invertible, dim: int) -> None:
        super().__init__()
        self.base, self.flow = standard_normal(dim), flow
        self.ways = both_ways(flow)

    def forward(self, *given: object) -> Distribution:
        there, back = self.ways
        return Pushed(self.base(), back, there)


@detached.register
def _(q: Pushed) -> Distribution:
    context = None if q.context is None else q.context.detach()
    return Pushed(detached(q.base), held(q.forth), held(q.back), context)
