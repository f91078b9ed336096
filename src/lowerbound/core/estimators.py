"""Gradient estimators: how z is drawn and how a bound's gradient flows back. The value is always the bound itself."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import reduce, singledispatch
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor
from torch import distributions as D
from torch.distributions import Distribution, Independent

from lowerbound.core.bounds import Bound, Mean
from lowerbound.core.certain import PointMass
from lowerbound.core.controls import Control, leave_one_out, no_control
from lowerbound.core.dependent import Dependent
from lowerbound.core.distributions import LogScaleNormal, StandardNormal

if TYPE_CHECKING:
    from lowerbound.core.latent import Trace


LARGEST_SUPPORT = 1 << 16
"""Values of a latent that are enumerated at most; each is decoded for every datum."""


class Estimator(ABC):
    """Draws particles from q and turns per-particle values into a bound whose gradient can be followed."""

    @abstractmethod
    def draw(self, q: Distribution, particles: int) -> Tensor:
        """z, (K, B, *event). Raises ValueError where this estimator cannot draw from such a q."""

    @abstractmethod
    def log_q(self, q: Distribution, z: Tensor) -> Tensor:
        """log q(z) as it enters log w, (K, B)."""

    @abstractmethod
    def log_measure(self, trace: Trace) -> Tensor:
        """The log of what each particle counts for, (K, 1) or (K, B); exp sums to one over K."""

    @abstractmethod
    def surrogate(self, trace: Trace, values: Tensor, bound: Bound) -> Tensor:
        """(B,): its value is bound(values); its gradient is this estimator's."""


class Sampling(Estimator, ABC):
    """Particles are drawn, so each counts for 1/K."""

    @final
    def log_measure(self, trace: Trace) -> Tensor:
        z = next(iter(trace.named_z.values()))
        return z.new_full((len(z), 1), -math.log(len(z)))


class Reparameterised(Sampling, ABC):
    """Particles are drawn so that the gradient can go through them."""

    @final
    def draw(self, q: Distribution, particles: int) -> Tensor:
        if not q.has_rsample:
            raise ValueError(f"{type(q).__name__} cannot be reparameterised; use the estimator Score or Enumerate")
        return q.rsample((particles,))


@final
class Pathwise(Reparameterised):
    """z = g(ε; φ), and gradients go through z. The default.

    Diederik P. Kingma and Max Welling, "Auto-encoding variational Bayes", 2014.
    """

    def log_q(self, q: Distribution, z: Tensor) -> Tensor:
        return q.log_prob(z)

    def surrogate(self, trace: Trace, values: Tensor, bound: Bound) -> Tensor:
        return bound(values, trace.log_measure)


@final
class STL(Reparameterised):
    """Sticking the landing: drop the score term of the path, whose mean is zero, so the variance dies as q → posterior.

    For the ELBO; for an importance-weighted bound it is biased, and `DReG` is the right form.
    Geoffrey Roeder, Yuhuai Wu and David Duvenaud, "Sticking the landing", 2017.
    """

    def log_q(self, q: Distribution, z: Tensor) -> Tensor:
        return detached(q).log_prob(z)

    def surrogate(self, trace: Trace, values: Tensor, bound: Bound) -> Tensor:
        return bound(values, trace.log_measure)


@final
class DReG(Reparameterised):
    """Doubly reparameterised: unbiased for φ under any bound of continuous slope; its noise dies as q → posterior.

    For φ, Σ_k (L_k − L_kk) ∂log w_k/∂z_k · dz_k/dφ, where L_k and L_kk are the bound's derivatives: for the
    importance-weighted bound the squared normalised weights, for the ELBO exactly `STL`. θ gets its usual gradient.
    Whatever reads z gets its gradient scaled so, so a trace serves one bound: `IWAE() + ELBO()` is refused.
    George Tucker, Dieterich Lawson, Shixiang Gu and Chris J. Maddison, "Doubly reparameterized gradient estimators for
    Monte Carlo objectives", 2019.
    """

    def log_q(self, q: Distribution, z: Tensor) -> Tensor:
        return detached(q).log_prob(z)

    def surrogate(self, trace: Trace, values: Tensor, bound: Bound) -> Tensor:
        held, measure = values.detach(), trace.log_measure
        first = bound.weights(held, measure)
        if torch.is_grad_enabled() and unscaled(trace, values, bound):
            share = path_share(bound, held, measure)
            for z in trace.named_z.values():
                rescale_gradient(z, share)
        return with_value(bound(held, measure), (first * values).sum(0))


@final
class Score(Sampling):
    """The score function, for any q that can be sampled: ∇E_q[L] = E_q[Σ_k (L − baseline_k) ∇log q(z_k) + ∇L].

    control: `leave_one_out` (needs K ≥ 2) or `no_control`.
    """

    def __init__(self, control: Control = leave_one_out) -> None:
        self.control = control

    def draw(self, q: Distribution, particles: int) -> Tensor:
        return q.sample((particles,))

    def log_q(self, q: Distribution, z: Tensor) -> Tensor:
        return q.log_prob(z)

    def surrogate(self, trace: Trace, values: Tensor, bound: Bound) -> Tensor:
        held, value = values.detach(), bound(values, trace.log_measure)
        if not torch.is_grad_enabled():
            return value
        signal = value.detach() - self.control(held, trace.log_measure, bound) + vanishing(trace, values, bound)
        return with_value(value.detach(), (signal * trace.log_q).sum(0) + value)


@final
class Enumerate(Estimator):
    """The exact expectation over a finite latent: every value of z is a particle that counts for q(z)."""

    def draw(self, q: Distribution, particles: int) -> Tensor:
        return support(q)

    def log_q(self, q: Distribution, z: Tensor) -> Tensor:
        return q.log_prob(z)

    def log_measure(self, trace: Trace) -> Tensor:
        return trace.log_q

    def surrogate(self, trace: Trace, values: Tensor, bound: Bound) -> Tensor:
        return bound(values, trace.log_measure)


def fitting(q: Distribution) -> Estimator:
    """`Pathwise` where gradients can go through draws from q; elsewhere plain `Score`, which serves any number of them.

    >>> type(fitting(D.Bernoulli(logits=torch.zeros(3)))).__name__
    'Score'
    """
    return Pathwise() if q.has_rsample else Score(no_control)


def with_value(value: Tensor, carrier: Tensor) -> Tensor:
    """A tensor with exactly this value and the gradient of `carrier`."""
    return value + (carrier - carrier.detach())


def unscaled(trace: Trace, values: Tensor, bound: Bound) -> bool:
    """Whether the gradient of z has yet to be scaled for this bound; under a plain mean it stays as it is."""
    plain = isinstance(bound, Mean)
    of = None if plain else values
    seen, trace.scaled_for = trace.scaled_for, (bound, of)
    if seen is not None and not (seen[0] == bound and seen[1] is of):
        raise ValueError("DReG scales the gradient of z for one bound; trace the model once for each, or use Pathwise")
    return seen is None and not plain


def vanishing(trace: Trace, values: Tensor, bound: Bound) -> Tensor:
    """What a score's signal lacks where log w is averaged: it takes −∇log q out of ∇log w, whose mean is zero.

    With it the encoder's gradient dies as q → posterior, where all log w are the same; without it that is all noise.
    """
    averaged = isinstance(bound, Mean) and values is trace.log_w
    return bound.weights(values.detach(), trace.log_measure) if averaged else values.new_zeros(())


def path_share(bound: Bound, log_w: Tensor, log_measure: Tensor) -> Tensor:
    """By how much less a particle's path counts than its weight does, (K, B): (L_k − L_kk) / L_k."""
    first = bound.weights(log_w, log_measure)
    return bound.path_weights(log_w, log_measure) / torch.where(first == 0, torch.finfo(log_w.dtype).tiny, first)


def rescale_gradient(z: Tensor, share: Tensor) -> None:
    """Multiply the gradient that reaches z by share (K, B)."""
    if z.requires_grad:
        z.register_hook(lambda g: g * share.reshape(share.shape + (1,) * (g.dim() - share.dim())))


def drawn(estimator: Estimator, q: Distribution, particles: int) -> Tensor:
    """K draws of a latent that depends on the data alone, (K, B, *event); one for each K of those it depends on."""
    return estimator.draw(q, particles) if len(q.batch_shape) == 1 else estimator.draw(q, 1).squeeze(0)


def support(q: Distribution) -> Tensor:
    """Every value of a finite latent, (S, B, *event); for several independent ones, their product.

    >>> support(Independent(D.Bernoulli(logits=torch.zeros(1, 2)), 1))[:, 0].tolist()
    [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    """
    if not (isinstance(q, Independent) and q.reinterpreted_batch_ndims):
        return q.enumerate_support(expand=True)
    values = q.base_dist.enumerate_support(expand=False).reshape(-1, *q.base_dist.event_shape)
    several = q.event_shape.numel() // q.base_dist.event_shape.numel()
    if len(values) ** several > LARGEST_SUPPORT:
        raise ValueError(f"{len(values)}^{several} values of z are too many to enumerate; use Score, which samples")
    choices = torch.cartesian_prod(*[torch.arange(len(values), device=values.device)] * several)
    grid = values[choices].reshape(-1, *q.event_shape)
    return grid.reshape(len(grid), *(1,) * len(q.batch_shape), *q.event_shape).expand(
        -1, *q.batch_shape, *q.event_shape
    )


@singledispatch
def detached(q: Distribution) -> Distribution:
    """The same distribution, its parameters cut from the graph."""
    raise NotImplementedError(f"STL and DReG do not know how to detach {type(q).__name__}; register it with detached")


@detached.register
def _(q: Dependent) -> Distribution:
    return q.held()


@detached.register(Independent)
def _(q: Independent) -> Distribution:
    return Independent(detached(q.base_dist), q.reinterpreted_batch_ndims, validate_args=False)


@detached.register
def _(q: LogScaleNormal) -> Distribution:
    return LogScaleNormal(q.loc.detach(), q.log_scale.detach())


@detached.register
def _(q: D.Normal) -> Distribution:
    return D.Normal(q.loc.detach(), q.scale.detach(), validate_args=False)


@detached.register
def _(q: D.Laplace) -> Distribution:
    return D.Laplace(q.loc.detach(), q.scale.detach(), validate_args=False)


@detached.register
def _(q: D.MultivariateNormal) -> Distribution:
    return D.MultivariateNormal(q.loc.detach(), scale_tril=q.scale_tril.detach(), validate_args=False)


@detached.register
def _(q: PointMass) -> Distribution:
    return PointMass(q.value.detach(), tuple(layer.detach() for layer in q.layers))


@detached.register
def _(q: StandardNormal) -> Distribution:
    return q


def summed(values: list[Tensor]) -> Tensor:
    """The sum of a list that has at least one tensor, without the 0 that `sum` starts from."""
    return reduce(torch.add, values)
