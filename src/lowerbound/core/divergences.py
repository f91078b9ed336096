"""Kullback–Leibler divergences, in nats: by sum, in closed form, per dimension and by Monte Carlo."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, kl_divergence

from lowerbound.core.dependent import Dependent


def discrete_kl(p: Tensor, q: Tensor) -> Tensor:
    """KL(p‖q) = Σ_i p_i log(p_i/q_i) over the last dimension, with 0 log 0 = 0, and ∞ where q lacks mass that p has.

    The two directions differ: the first argument's modes are what the second must cover.

    >>> P, Q = torch.tensor([0.2, 0.4, 0.4]), torch.tensor([0.4, 0.2, 0.4])
    >>> discrete_kl(P, Q)
    tensor(0.1386)
    """
    return (torch.special.xlogy(p, p) - torch.special.xlogy(p, q)).sum(-1)


def kl_per_dimension(q: Distribution, p: Distribution) -> Tensor:
    """KL of each latent dimension where both factorise, (..., D); the total, (..., 1), where they do not.

    >>> from lowerbound.core import standard_normal
    >>> kl_per_dimension(standard_normal(3)(), standard_normal(3)())
    tensor([0., 0., 0.])
    """
    if not (isinstance(q, Independent) and isinstance(p, Independent)):
        return kl_divergence(q, p).unsqueeze(-1)
    # torch's divergence between Bernoullis is the one that does not broadcast.
    prior = p.base_dist.expand(q.base_dist.batch_shape) if isinstance(p.base_dist, Bernoulli) else p.base_dist
    each = kl_divergence(q.base_dist, prior)
    return each.flatten(-q.reinterpreted_batch_ndims) if q.reinterpreted_batch_ndims else each.unsqueeze(-1)


def known_kl(q: Distribution, p: Distribution) -> Tensor | None:
    """`kl_per_dimension` where KL(q‖p) has a closed form, else None.

    None, too, where p depends on draws: they may have been drawn given z, which a divergence knows nothing of.
    """
    if isinstance(p, Dependent):
        return None
    try:
        return kl_per_dimension(q, p)
    except NotImplementedError:
        return None


class Estimate(NamedTuple):
    """A Monte-Carlo mean and its standard error."""

    value: Tensor
    stderr: Tensor


@torch.no_grad()
def monte_carlo_kl(q: Distribution, p: Distribution, samples: int = 10_000) -> Estimate:
    """KL(q‖p) ≈ mean of log q(z) − log p(z) over z ~ q, with its standard error: for pairs without a closed form."""
    z = q.sample((samples,))
    ratio = q.log_prob(z) - p.log_prob(z)
    return Estimate(ratio.mean(0), ratio.std(0) / samples**0.5)
