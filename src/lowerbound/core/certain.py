"""All mass on one value, and the improper prior that goes with it: what plain autoencoders are made of."""

from __future__ import annotations

from typing import Any, ClassVar, final

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, Independent, constraints, register_kl

from lowerbound.core.distributions import Shape


class Certain(Distribution):
    """All mass on one `value`: what every such distribution has in common, on a continuum or among finitely many."""

    arg_constraints: ClassVar[dict[str, Any]] = {}
    has_rsample = True
    value: Tensor

    @property
    def mean(self) -> Tensor:
        return self.value

    @property
    def mode(self) -> Tensor:
        return self.value

    @property
    def variance(self) -> Tensor:
        return torch.zeros_like(self.value)

    def rsample(self, sample_shape: Shape = Size()) -> Tensor:  # noqa: B008
        return self.value.expand(self._extended_shape(sample_shape))

    def sample(self, sample_shape: Shape = Size()) -> Tensor:  # noqa: B008
        return self.rsample(sample_shape).detach()  # a view keeps its gradient even under no_grad


@final
class PointMass(Certain):
    """All mass on one value. Its density is taken as 1 there, so log q = 0 and an ELBO under it is a MAP objective.

    layers: what the network computed on the way to the value, each (B, *), for objectives that look at it. They stay as
    they are when the value is expanded.

    >>> PointMass(torch.tensor([2.0])).rsample()
    tensor([2.])
    """

    support = constraints.real
    singular: ClassVar[bool] = True

    def __init__(self, value: Tensor, layers: tuple[Tensor, ...] = ()) -> None:
        self.value, self.layers = value, layers
        super().__init__(value.shape, validate_args=False)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> PointMass:
        return PointMass(self.value.expand(batch_shape), self.layers)

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.zeros_like(value)


def is_singular(d: Distribution) -> bool:
    """Whether all mass of a continuous variable lies on one value: it has no density, and its KL to one is infinite.

    A class of distributions says so of itself by `singular = True`.

    >>> from torch.distributions import Normal
    >>> is_singular(Independent(PointMass(torch.zeros(2)), 1)), is_singular(Normal(0.0, 1.0))
    (True, False)
    """
    return is_singular(d.base_dist) if isinstance(d, Independent) else getattr(d, "singular", False)


def is_certain(d: Distribution) -> bool:
    """Whether every draw is the same, so that one says all.

    Unlike a singular one, a distribution that is certain of one value out of finitely many has a mass to score by.
    """
    return isinstance(d.base_dist if isinstance(d, Independent) else d, Certain)


@final
class Flat(Distribution):
    """The improper flat prior: log p(z) = 0 everywhere. It cannot be sampled.

    >>> Flat(torch.empty(2)).log_prob(torch.tensor([5.0, -5.0]))
    tensor([0., 0.])
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real

    def __init__(self, like: Tensor) -> None:
        self.like = like
        super().__init__(like.shape, validate_args=False)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Flat:
        return Flat(self.like.expand(batch_shape))

    def sample(self, sample_shape: Shape = Size()) -> Tensor:  # noqa: B008
        raise ValueError(
            "a flat prior has no samples: fit a density to the codes, or train a model with a proper prior"
        )

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.zeros_like(value)


@register_kl(PointMass, Flat)
def _kl_point_flat(q: PointMass, p: Flat) -> Tensor:
    # log q − log p at the atom; both are zero by convention, so a plain autoencoder has no rate.
    return torch.zeros_like(q.value)
