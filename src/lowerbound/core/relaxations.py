"""Finite latents as what continuous noise makes of their logits: z = hard(s), s = logits + noise.

Softened, the same s can be differentiated; and given z, the s that led to it can be drawn again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor
from torch import distributions as D
from torch.distributions import Distribution, Independent
from torch.nn import functional as F


class Relaxation(ABC):
    """A family of finite latents, seen as a threshold of continuous scores; all shapes are (..., *event)."""

    @abstractmethod
    def noise(self, u: Tensor) -> Tensor:
        """From uniform numbers in (0, 1), the noise whose sum with the logits is s."""

    @abstractmethod
    def soft(self, s: Tensor) -> Tensor:
        """The relaxed value of z; of s / temperature it goes to z itself as the temperature goes to zero."""

    @abstractmethod
    def given(self, logits: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """s, distributed as it is where z came of it, from uniform numbers in (0, 1); differentiable in the logits."""

    @abstractmethod
    def score(self, logits: Tensor, z: Tensor) -> Tensor:
        """∂ log q(z) / ∂ logits."""


@final
class Binary(Relaxation):
    """z = 1 where s > 0, the noise logistic: the binary concrete.

    Chris J. Maddison, Andriy Mnih and Yee Whye Teh, "The concrete distribution", 2017. The scores given z: George
    Tucker et al., "REBAR: low-variance, unbiased gradient estimates for discrete latent variable models", 2017.

    >>> Binary().given(torch.zeros(2), torch.tensor([0.0, 1.0]), torch.full((2,), 0.5)).round(decimals=4)
    tensor([-1.0986,  1.0986])
    """

    def noise(self, u: Tensor) -> Tensor:
        return torch.logit(u)

    def soft(self, s: Tensor) -> Tensor:
        return torch.sigmoid(s)

    def given(self, logits: Tensor, z: Tensor, u: Tensor) -> Tensor:
        sign = 2 * z - 1
        return sign * F.softplus(torch.logit(u) + F.softplus(sign * logits))

    def score(self, logits: Tensor, z: Tensor) -> Tensor:
        return z - torch.sigmoid(logits)


@final
class OneOfMany(Relaxation):
    """z is one-hot where s is greatest, the noise Gumbel's: the concrete, or Gumbel-softmax, distribution.

    Eric Jang, Shixiang Gu and Ben Poole, "Categorical reparameterization with Gumbel-softmax", 2017.
    """

    def noise(self, u: Tensor) -> Tensor:
        return -torch.log(-torch.log(u))

    def soft(self, s: Tensor) -> Tensor:
        return torch.softmax(s, -1)

    def given(self, logits: Tensor, z: Tensor, u: Tensor) -> Tensor:
        # The greatest of all scores is a Gumbel draw, whichever it is; the others are draws cut off there.
        log_arrival = torch.log(-torch.log(u))
        first = (z * log_arrival).sum(-1, keepdim=True)
        late = torch.logaddexp(log_arrival - torch.log_softmax(logits, -1), first)
        return -torch.where(z > 0, first, late)

    def score(self, logits: Tensor, z: Tensor) -> Tensor:
        return z - torch.softmax(logits, -1)


def relaxation(q: Distribution) -> Relaxation:
    """The relaxation of a Bernoulli or one-hot latent; any other is refused."""
    base = base_of(q)
    if isinstance(base, D.Bernoulli):
        return Binary()
    if isinstance(base, D.OneHotCategorical):
        return OneOfMany()
    raise ValueError(f"{type(base).__name__} is neither Bernoulli nor one-hot; use the estimator Score or Pathwise")


def logits_of(q: Distribution) -> Tensor:
    """The logits of a Bernoulli or one-hot latent, (..., *event)."""
    base = base_of(q)
    assert isinstance(base, D.Bernoulli | D.OneHotCategorical)
    return base.logits


def base_of(q: Distribution) -> Distribution:
    """The distribution of one of several independent values."""
    return q.base_dist if isinstance(q, Independent) else q


def uniform(like: Tensor, *shape: int) -> Tensor:
    """Uniform numbers strictly between 0 and 1, of this shape before that of `like`."""
    u = torch.rand((*shape, *like.shape), dtype=like.dtype, device=like.device)
    return u.clamp(torch.finfo(u.dtype).tiny, 1 - torch.finfo(u.dtype).eps)


def beside(values: Tensor, like: Tensor) -> Tensor:
    """Values (K, B) with as many dimensions more as `like` (K, B, *event) has."""
    return values.reshape(values.shape + (1,) * (like.dim() - values.dim()))
