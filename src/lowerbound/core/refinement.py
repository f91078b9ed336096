"""Refinement: the posterior of each datum of a batch fitted to that datum alone, while the model stands still."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import singledispatch
from typing import Any, NamedTuple, final

import torch
from torch import Tensor
from torch import distributions as D
from torch.distributions import Distribution, Independent

from lowerbound.core.batch import Batch, rows
from lowerbound.core.conditionals import Conditional
from lowerbound.core.distributions import LogScaleNormal
from lowerbound.core.estimators import STL
from lowerbound.core.latent import Latent, Trace
from lowerbound.core.objectives import ELBO

Values = tuple[Tensor, ...]

DECAYS = (0.9, 0.999)
"""How much of its mean gradient, and of the mean of its square, Adam keeps from step to step."""

TINY = 1e-16
"""A square of a gradient that is nothing beside any other."""


class Refined(NamedTuple):
    """The posteriors found, and how far they are from the end of the climb.

    q: of the family it started from, batch shape (B,). rise: (B,) nats, by how much the ELBO of the last quarter of the
    steps is above that of the quarter before. One datum's is noise; a mean over many that is well above zero says that
    more steps, or a greater lr, would still gain.
    """

    q: Distribution
    rise: Tensor


@final
class Coordinates(NamedTuple):
    """A distribution as numbers that are free to move, each (B, ...), and the way back: at(*values).

    units: in what unit each of them moves, alike in shape or a number for all.
    """

    values: Values
    units: tuple[Tensor | float, ...]
    at: Callable[..., Distribution]


def paired_draws(q: Distribution, particles: int) -> Tensor:
    """z ~ q and their mirror images in its mean, (K, B, *event), for a q that is symmetric; an odd K has no pairs."""
    if particles % 2:
        return q.rsample((particles,))
    z = q.rsample((particles // 2,))
    return torch.cat([z, 2 * q.mean - z])


@final
class SharedDraws:
    """`paired_draws` whose noise a seed fixes and all data share, so that a datum finds the same q in any company."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.generator = torch.Generator(device).manual_seed(seed)

    def __call__(self, q: Distribution, particles: int) -> Tensor:
        """z of a factorised Gaussian, (K, B, *event); K is even."""
        noise = torch.randn(
            particles // 2, 1, *q.event_shape, generator=self.generator, dtype=q.mean.dtype, device=q.mean.device
        )
        return q.mean + q.stddev * torch.cat([noise, -noise])


def refined(
    model: Latent,
    batch: Batch,
    q: Distribution,
    *,
    steps: int = 500,
    lr: float = 0.1,
    particles: int = 4,
    draw: Callable[[Distribution, int], Tensor] = paired_draws,
) -> Refined:
    """Climb the ELBO of each datum in its own q, from the q given; decoder and prior stand still.

    Adam on each number by itself, its rate falling from `lr` to 0 along a cosine, so that what a datum finds does not
    depend on those beside it but for the draws. Locations move in units of the scales they start with. An even number
    of particles is drawn in pairs z, 2μ − z, whose odd errors cancel; the gradient is that of `STL`, whose noise dies
    as q nears the posterior. No gradient is left anywhere, and the caller may be under `no_grad`.

    draw: z (K, B, *event) of q; `SharedDraws` for a q that depends on its datum alone.

    The local step of Matthew D. Hoffman, David M. Blei, Chong Wang and John Paisley, "Stochastic variational
    inference", 2013; from an encoder's q, Yoon Kim, Sam Wiseman, Andrew C. Miller, David Sontag and Alexander M. Rush,
    "Semi-amortized variational autoencoders", 2018.

    >>> from torch import nn
    >>> from lowerbound.core import Bernoulli, Gaussian, standard_normal
    >>> encoder = nn.Sequential(nn.Linear(4, 4), nn.Unflatten(-1, (2, 2)))
    >>> model = Latent(standard_normal(2), Gaussian(encoder), Bernoulli(nn.Linear(2, 4)))
    >>> batch = Batch({"x": torch.ones(3, 4)})
    >>> refined(model, batch, model.infer(batch), steps=10).q.batch_shape
    torch.Size([3])

    Raises:
        ValueError: a q that is no Gaussian; see `coordinates`.
    """
    values, units, at = coordinates(q)
    adam, elbos = Adam(values, units), []

    def height(*values: Tensor) -> tuple[Tensor, Tensor]:
        elbo = _elbo(model, batch, at(*values), draw(at(*values), particles))
        return elbo.sum(), elbo.detach()

    slope = torch.func.grad(height, argnums=tuple(range(len(values))), has_aux=True)
    with torch.no_grad():
        for step in range(steps):
            gradients, elbo = slope(*values)
            values = adam.climb(values, gradients, lr * 0.5 * (1 + math.cos(math.pi * step / steps)))
            elbos.append(elbo)
    return Refined(at(*values), _rise(torch.stack(elbos)))


def _elbo(model: Latent, batch: Batch, q: Distribution, z: Tensor) -> Tensor:
    trace = Trace(z, q, model.prior(batch.c), model.decode(z, batch.c), batch, STL())
    return -ELBO()(trace)["negative_elbo"]


@final
class Adam:
    """Adam's steps as a function of the gradients.

    Diederik P. Kingma and Jimmy Ba, "Adam: a method for stochastic optimization", 2015.
    """

    def __init__(self, values: Values, units: tuple[Tensor | float, ...]) -> None:
        self.units, self.step = units, 0
        self.first = self.second = tuple(torch.zeros_like(v) for v in values)

    def climb(self, values: Values, gradients: Values, rate: float) -> Values:
        """The values one step uphill."""
        keep, keep_square = DECAYS
        self.step += 1
        self.first = tuple(torch.lerp(g, m, keep) for m, g in zip(self.first, gradients))
        self.second = tuple(torch.lerp(g.square(), m, keep_square) for m, g in zip(self.second, gradients))
        pace, root = rate / (1 - keep**self.step), math.sqrt(1 - keep_square**self.step)
        return tuple(
            value + pace * unit * first / (second.clamp_min(TINY).sqrt() / root)
            for value, unit, first, second in zip(values, self.units, self.first, self.second)
        )


def _rise(elbos: Tensor) -> Tensor:
    """(S, B) -> (B,): the mean of the last quarter less that of the quarter before."""
    quarter = max(1, len(elbos) // 4)
    return elbos[-quarter:].mean(0) - elbos[-2 * quarter : -quarter or None].mean(0)


@singledispatch
def coordinates(q: Distribution) -> Coordinates:
    """A Gaussian as numbers that are free to move: its location in units of its scale, and the log of that scale.

    >>> values, _, at = coordinates(Independent(D.Normal(torch.ones(5, 3), 2.0), 1))
    >>> at(*values).mean[0]
    tensor([1., 1., 1.])
    """
    raise ValueError(f"a posterior is refined where it is Gaussian, and {type(q).__name__} is not")


@coordinates.register(Independent)
def _(q: Independent) -> Coordinates:
    values, units, at = coordinates(q.base_dist)
    dims = q.reinterpreted_batch_ndims
    return Coordinates(values, units, lambda *v: Independent(at(*v), dims, validate_args=False))


@coordinates.register
def _(q: LogScaleNormal) -> Coordinates:
    return Coordinates((q.mean, q.log_scale.expand(q.batch_shape)), (q.stddev, 1.0), LogScaleNormal)


@coordinates.register
def _(q: D.Normal) -> Coordinates:
    return coordinates(LogScaleNormal(q.loc, q.scale.log()))


@coordinates.register
def _(q: D.MultivariateNormal) -> Coordinates:
    scale = q.scale_tril.diagonal(dim1=-2, dim2=-1)
    lower = (q.scale_tril / scale.unsqueeze(-1)).tril(-1)
    # So that a row below the diagonal, as a whole, moves as fast as one number does.
    units = (scale, 1.0, 1 / math.sqrt(scale.shape[-1]))
    return Coordinates((q.loc, scale.log(), lower), units, _any_gaussian)


@coordinates.register
def _(q: D.LowRankMultivariateNormal) -> Coordinates:
    scale = q._unbroadcasted_cov_diag.sqrt()
    shared = q._unbroadcasted_cov_factor / scale.unsqueeze(-1)
    return Coordinates((q.loc, scale.log(), shared), (scale, 1.0, 1 / math.sqrt(scale.shape[-1])), _low_rank_gaussian)


def _any_gaussian(loc: Tensor, log_scale: Tensor, lower: Tensor) -> Distribution:
    """N(μ, LLᵀ) with L = diag(σ)(I + N), N what is below the diagonal of `lower`."""
    scale_tril = log_scale.exp().unsqueeze(-1) * lower.tril(-1) + torch.diag_embed(log_scale.exp())
    return D.MultivariateNormal(loc, scale_tril=scale_tril, validate_args=False)


def _low_rank_gaussian(loc: Tensor, log_scale: Tensor, shared: Tensor) -> Distribution:
    """N(μ, S(I + RRᵀ)S) with S = diag(σ) and R the few directions that dimensions share."""
    factor = log_scale.exp().unsqueeze(-1) * shared
    return D.LowRankMultivariateNormal(loc, factor, (2 * log_scale).exp(), validate_args=False)


def correlated(q: Distribution) -> Distribution:
    """The same Gaussian over vectors, free to have any covariance: where the climb in a richer family starts.

    >>> correlated(Independent(D.Normal(torch.zeros(5, 3), 2.0), 1)).scale_tril.shape
    torch.Size([5, 3, 3])

    Raises:
        ValueError: a q that is no Gaussian.
    """
    coordinates(q)
    scale_tril = q.scale_tril if isinstance(q, D.LowRankMultivariateNormal) else torch.diag_embed(q.stddev)
    return D.MultivariateNormal(q.mean, scale_tril=scale_tril, validate_args=False)


def may_be_richer(q: Distribution) -> bool:
    """Whether q is a Gaussian over vectors that is not yet free to have any covariance."""
    return len(q.event_shape) == 1 and not isinstance(q, D.MultivariateNormal)


def richest(q: Distribution) -> Distribution:
    """The same Gaussian, as one of the richest family that it can be refined in.

    >>> type(richest(Independent(D.Normal(torch.zeros(5, 3), 2.0), 1))).__name__
    'MultivariateNormal'
    """
    return correlated(q) if may_be_richer(q) else q


@final
class Local(Conditional):
    """The posteriors of some data, found before: given row numbers, those rows of q.

    >>> Local(Independent(D.Normal(torch.zeros(5, 3), 2.0), 1))(torch.tensor([1, 4])).batch_shape
    torch.Size([2])
    """

    def __init__(self, q: Distribution) -> None:
        super().__init__()
        self.values, _, self.at = coordinates(q)

    def forward(self, *given: object) -> Distribution:
        (index,) = given
        assert isinstance(index, Tensor)
        return self.at(*(value[index] for value in self.values))


def posed(model: Latent, batch: Batch, q: Distribution) -> tuple[Latent, Batch]:
    """The model with q (B,) for the posteriors of this batch, and the batch as that model is to be shown it.

    What measures a model (`log_marginal`, `ais`) so measures it under these posteriors.
    """
    numbered = replace(batch, index=torch.arange(batch.size, device=q.mean.device))
    likelihood: dict[str, Any] = dict(model.likelihood.items())
    return Latent(model.prior, Local(q), likelihood, rows), numbered
