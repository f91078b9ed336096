"""Posteriors of several encoders over one z: products of experts, mixtures of experts and mixtures of products.

Every expert m reads one variable and holds an opinion q̃_m(z) = N(μ_m, σ_m²). Of a set S of variables that were observed

    q(z|x_S) ∝ p(z) Π_{m in S} q̃_m(z),   p(z) = N(0, I)

is a Gaussian whose precision is the sum of theirs and of the prior's 1. Whoever was not observed is left out, datum by
datum; of a datum of which nothing was, q is the prior.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain, combinations
from typing import Any, ClassVar, NamedTuple, final

import torch
from torch import Size, Tensor, nn
from torch.distributions import Distribution, Independent, constraints

from lowerbound.core.batch import Batch
from lowerbound.core.conditionals import LOG_VARIANCE_RANGE, Conditional
from lowerbound.core.distributions import LogScaleNormal, Shape, widened


def observed_at_all(batch: Batch, names: Sequence[str]) -> Tensor:
    """Whether anything was observed of each variable, (M, B).

    >>> mask = {"y": torch.tensor([[True, False], [False, False]])}
    >>> observed_at_all(Batch({"x": torch.zeros(2, 3), "y": torch.zeros(2, 2)}, mask=mask), ["x", "y"])
    tensor([[ True,  True],
            [ True, False]])
    """
    return torch.stack([_any_of(batch, name) for name in names])


def _any_of(batch: Batch, name: str) -> Tensor:
    mask = batch.mask_of(name)
    if mask is None:
        return torch.ones(batch.size, dtype=torch.bool, device=batch.x[name].device)
    return mask.reshape(batch.size, -1).any(1)


@final
class Normals(NamedTuple):
    """Factorised Gaussians by their parameters, both (..., D)."""

    loc: Tensor
    log_scale: Tensor

    def distribution(self) -> Independent:
        """Gaussians over vectors of D numbers."""
        return Independent(LogScaleNormal(self.loc, self.log_scale), 1, validate_args=False)


@final
class Opinions(NamedTuple):
    """What M experts say of B data: loc and log_precision (M, B, D); and whether each of them saw any of it, (M, B)."""

    loc: Tensor
    log_precision: Tensor
    present: Tensor

    def times_prior(self, counted: Tensor) -> Normals:
        """p(z) Π_m q̃_m(z) over the experts that are counted, (..., M, B) -> (..., B, D).

        In logs throughout: the log of the precision is a logsumexp, and the means' shares are the softmax beside it.

        >>> two = Opinions(torch.tensor([[[1.0]], [[4.0]]]), torch.zeros(2, 1, 1), torch.ones(2, 1) > 0)
        >>> two.times_prior(two.present).loc, two.times_prior(~two.present).loc
        (tensor([[1.6667]]), tensor([[0.]]))
        """
        heard = torch.where(counted.unsqueeze(-1), self.log_precision, -math.inf)
        logits = torch.cat([torch.zeros_like(heard[..., :1, :, :]), heard], -3)
        share = torch.softmax(logits, -3)[..., 1:, :, :]
        return Normals((share * self.loc).sum(-3), -0.5 * torch.logsumexp(logits, -3))

    def alone(self) -> Normals:
        """p(z) q̃_m(z) for each expert by itself, (M, B, D); the prior where it saw nothing."""
        only = torch.eye(len(self.loc), dtype=torch.bool, device=self.loc.device)
        return self.times_prior(only.unsqueeze(-1) & self.present)

    def first(self, dims: int) -> Opinions:
        """The same of the first dimensions of z."""
        return Opinions(self.loc[..., :dims], self.log_precision[..., :dims], self.present)

    def rest(self, dims: int) -> Opinions:
        """The same of the dimensions after these."""
        return Opinions(self.loc[..., dims:], self.log_precision[..., dims:], self.present)


@final
class Encoders(nn.Module):
    """An encoder for each variable, from what it reads and perhaps a condition to (μ, log σ²), (B, D, 2)."""

    def __init__(self, encoders: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.nets = nn.ModuleDict(dict(encoders))

    def forward(self, x: Mapping[str, Tensor], present: Tensor, c: Tensor | None = None) -> Opinions:
        told = () if c is None else (c,)
        h = widened(torch.stack([net(x[name], *told) for name, net in self.nets.items()]))
        loc, log_variance = h.unbind(-1)
        return Opinions(loc, -log_variance.clamp(*LOG_VARIANCE_RANGE), present)


@final
class Product(Independent):
    """A Gaussian that came of experts, and their opinions, for objectives that look at each."""

    def __init__(self, opinions: Opinions) -> None:
        super().__init__(LogScaleNormal(*opinions.times_prior(opinions.present)), 1, validate_args=False)
        self.opinions = opinions


@final
class ProductOfExperts(Conditional):
    """q(z|x_S) ∝ p(z) Π_{m in S} q̃(z|x_m), with S what was observed of each datum.

    It is given what `Encoders` takes. Where every factor of p(x_m|z) is Gaussian and linear it is the true posterior.
    Mike Wu and Noah Goodman, "Multimodal generative models for scalable weakly-supervised learning", 2018.

    >>> nets = {name: nn.Sequential(nn.Linear(4, 6), nn.Unflatten(-1, (3, 2))) for name in "xy"}
    >>> q = ProductOfExperts(Encoders(nets))({"x": torch.zeros(5, 4), "y": torch.zeros(5, 4)}, torch.ones(2, 5) > 0)
    >>> q.batch_shape, q.event_shape
    (torch.Size([5]), torch.Size([3]))
    """

    def __init__(self, encoders: Encoders) -> None:
        super().__init__()
        self.encoders = encoders

    def forward(self, *given: object) -> Distribution:
        return Product(self.encoders(*given))


@final
class MixtureOfProducts(Conditional):
    """(1/n) Σ_k q(z|x_{S_k}) over those of some sets S_k of variables that were wholly observed, n of them in a datum.

    sets: (C, M), which variables are in each; `singles` makes it a mixture of experts (Yuge Shi, N. Siddharth, Brooks
    Paige and Philip H. S. Torr, "Variational mixture-of-experts autoencoders for multi-modal deep generative models",
    2019), `powerset` a mixture of products (Thomas M. Sutter, Imant Daunhawer and Julia E. Vogt, "Generalized
    multimodal ELBO", 2021). Both begin with the empty set, which stands in where nothing was observed.
    """

    sets: Tensor

    def __init__(self, encoders: Encoders, sets: Tensor) -> None:
        super().__init__()
        self.encoders = encoders
        self.register_buffer("sets", sets.to(torch.uint8), persistent=False)

    def forward(self, *given: object) -> Distribution:
        opinions: Opinions = self.encoders(*given)
        return mixed(opinions, self.sets)


def mixed(opinions: Opinions, sets: Tensor) -> EqualMixture:
    """The mixture over these sets, (C, M), of which the first is empty."""
    members = sets.bool().unsqueeze(-1)
    whole = (opinions.present | ~members).all(1)
    active = torch.cat([~opinions.present.any(0, keepdim=True), whole[1:]])
    return EqualMixture(opinions.times_prior(members & opinions.present), active)


def singles(experts: int) -> Tensor:
    """The empty set and each expert by itself, (M + 1, M).

    >>> singles(2).int().tolist()
    [[0, 0], [1, 0], [0, 1]]
    """
    return torch.cat([torch.zeros(1, experts), torch.eye(experts)]).bool()


def powerset(experts: int) -> Tensor:
    """Every set of experts, the empty one first, (2^M, M).

    >>> powerset(2).int().tolist()
    [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    every = chain.from_iterable(combinations(range(experts), size) for size in range(experts + 1))
    return torch.tensor([[member in chosen for member in range(experts)] for chosen in every])


@final
class EqualMixture(Distribution):
    """(1/n) Σ_c N(μ_c, σ_c²) over the n components that are active in a datum; drawn evenly from each of them.

    parts: (C, B, D). active: (C, B), one at least for each datum.

    K draws of a datum are spread over its components as evenly as K allows, in their order, the remainder at random:
    each component then has K/n of them in mean, so that (1/K) Σ_k f(z_k) has the mean E_q f for every K, and less noise
    than independent draws would have. As a proposal it may be weighed by the density of the mixture, and the mean
    weight is p(x) as ever. Which component a draw is of does not depend on any parameter, so gradients go through z.
    Draws are not independent of each other, which doubly reparameterised gradients would need.

    >>> two = Normals(torch.tensor([[[-9.0]], [[9.0]]]), torch.zeros(2, 1, 1))
    >>> EqualMixture(two, torch.ones(2, 1) > 0).sample((6,)).sign().flatten()
    tensor([-1., -1., -1.,  1.,  1.,  1.])
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, parts: Normals, active: Tensor) -> None:
        self.parts, self.active = parts, active
        super().__init__(parts.loc.shape[1:-1], parts.loc.shape[-1:], validate_args=False)

    @property
    def shares(self) -> Tensor:
        """What each component counts for, (C, B, 1)."""
        return (self.active / self.active.sum(0)).unsqueeze(-1)

    @property
    def mean(self) -> Tensor:
        return (self.shares * self.parts.loc).sum(0)

    @property
    def variance(self) -> Tensor:
        spread = (2 * self.parts.log_scale).exp() + (self.parts.loc - self.mean).square()
        return (self.shares * spread).sum(0)

    def rsample(self, sample_shape: Shape = Size()) -> Tensor:  # noqa: B008
        draws = self.of(self.strata(Size(sample_shape).numel())).distribution().rsample()
        return draws.reshape(self._extended_shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        each = self.parts.distribution().log_prob(value.unsqueeze(-3))
        return torch.logsumexp(torch.where(self.active, each, -math.inf), -2) - self.active.sum(0).log()

    def strata(self, draws: int) -> Tensor:
        """Which component each of so many draws of a datum is of, (K, B)."""
        n, device = self.active.sum(0), self.active.device
        jitter = torch.rand(n.shape, device=device)
        place = ((torch.arange(draws, device=device).unsqueeze(1) + jitter) * n / draws).long()
        order = self.active.to(torch.uint8).argsort(dim=0, descending=True, stable=True)
        return order.gather(0, torch.minimum(place, n - 1))

    def of(self, component: Tensor) -> Normals:
        """The Gaussians of the components of these numbers, (K, B) -> (K, B, D)."""
        index = component.unsqueeze(-1).expand(-1, -1, *self.event_shape)
        return Normals(self.parts.loc.gather(0, index), self.parts.log_scale.gather(0, index))
