"""The Bernoulli from logits, in as few passes over its values as it takes, and the masses of what was observed."""

from __future__ import annotations

import math
from typing import Any, final

import torch
from torch import Tensor
from torch.distributions import Bernoulli
from torch.nn import functional as F

from lowerbound.core.distributions import Shape

CACHED = 1 << 17  # numbers of which a few intermediate copies fit in a core's own cache


@final
class LogitBernoulli(Bernoulli):
    """0 or 1, from logits l: log p(x) = log σ((2x−1)·l), one pass over the particles where torch's form makes four.

    Only for values that are exactly 0 or 1; between them it is no density, as no Bernoulli is.

    >>> LogitBernoulli(torch.zeros(1)).log_prob(torch.ones(1))
    tensor([-0.6931])
    """

    def __init__(self, logits: Tensor) -> None:
        super().__init__(logits=logits, validate_args=False)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> LogitBernoulli:
        return LogitBernoulli(self.logits.expand(batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        return F.logsigmoid((2 * value - 1) * self.logits)


def bernoulli_log_mass(logits: Tensor, value: Tensor) -> Tensor:
    """`LogitBernoulli.log_prob` summed over the last dimension, in half the time or less; for values alone.

    With u = (1−2x)·l it is −Σ max(u, 0) − log Π (1 + e^(−|u|)). Each factor lies between 1 and 2, so as many as the
    type has binary exponents multiply without overflow, and few logarithms are taken. Its gradient would be slow.

    >>> bernoulli_log_mass(torch.zeros(5, 2), torch.ones(2))
    tensor([-1.3863, -1.3863, -1.3863, -1.3863, -1.3863])
    """
    u = torch.rsub(value, 1, alpha=2) * logits
    factors = u.abs().neg_().exp_().add_(1)
    return -(u.clamp_min_(0).sum(-1) + log_product(factors))


def log_product(factors: Tensor) -> Tensor:
    """log Π over the last dimension of numbers between 1 and 2.

    >>> log_product(torch.full((1000,), 2.0)).round()
    tensor(693.)
    """
    most, count = int(math.log2(torch.finfo(factors.dtype).max)), factors.shape[-1]
    size = next(size for size in range(most, 0, -1) if count % size == 0)
    return factors.unflatten(-1, (count // size, size)).prod(-1).log_().sum(-1)


def particles_log_mass(logits: Tensor, value: Tensor) -> Tensor:
    """`bernoulli_log_mass` of the same values under the logits of many particles, (K, B, D) and (B, D)."""
    if logits.dim() <= value.dim() or logits.device.type != "cpu":
        return bernoulli_log_mass(logits, value)
    # Several particles at a time, so that what is made on the way stays in the cache.
    return torch.cat([bernoulli_log_mass(part, value) for part in logits.split(max(1, CACHED // value.numel()))])
