"""The Bernoulli from logits, in as few passes over its values as it takes, and the masses of what was observed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, final

import torch
from torch import Tensor
from torch.autograd import Function
from torch.distributions import Bernoulli, Distribution
from torch.nn import functional as F

from lowerbound.core.distributions import Shape, widened

CACHED = 1 << 17  # numbers of which a few intermediate copies fit in a core's own cache
Piece = tuple[slice, slice]


@final
class LogitBernoulli(Bernoulli):
    """0 or 1, from logits l: log p(x) = log σ((2x−1)·l), one pass over the particles where torch's form makes four.

    Only for values that are exactly 0 or 1; between them it is no density, as no Bernoulli is.

    >>> LogitBernoulli(torch.zeros(1)).log_prob(torch.ones(1))
    tensor([-0.6931])
    """

    def __init__(self, logits: Tensor) -> None:
        self.given = logits  # in the network's own precision, which sums over the event widen as they go
        Distribution.__init__(self, logits.shape, validate_args=False)

    @property
    def logits(self) -> Tensor:
        return widened(self.given)

    @property
    def _param(self) -> Tensor:  # type: ignore[override]
        return self.logits

    def expand(self, batch_shape: Shape, _instance: Any = None) -> LogitBernoulli:
        return LogitBernoulli(self.given.expand(batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        return F.logsigmoid((2 * value - 1) * self.logits)


def bernoulli_log_mass(logits: Tensor, value: Tensor) -> Tensor:
    """`LogitBernoulli.log_prob` summed over the last dimension: (..., *B, D) and (*B, D) -> (..., *B).

    On a CPU it goes through a few rows at a time, whose intermediate values stay in the cache, and its gradient
    (x − σ(l) for each value) likewise: nothing as large as the logits is made but that gradient itself.

    >>> bernoulli_log_mass(torch.zeros(5, 2), torch.ones(2))
    tensor([-1.3863, -1.3863, -1.3863, -1.3863, -1.3863])
    """
    if not _by_rows(logits, value):
        return LogitBernoulli(logits).log_prob(value).sum(-1)
    rows = value.reshape(-1, value.shape[-1])
    found: Tensor = _RowMass.apply(logits.reshape(-1, *rows.shape), rows)
    return found.reshape(logits.shape[:-1])


def _by_rows(logits: Tensor, value: Tensor) -> bool:
    """Whether there is one value to each logit of a particle, and more than fits in a cache, so that cutting up pays.

    A compiler fuses the plain form better than this one.
    """
    alike = logits.shape[logits.dim() - value.dim() :] == value.shape and logits.numel() > 2 * CACHED
    return alike and not value.requires_grad and not torch.compiler.is_compiling()


@final
class _RowMass(Function):
    """Σ_d log σ((2x−1)·l) of logits (K, B, D) and values (B, D) -> (K, B). Its gradient can be differentiated again."""

    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor, value: Tensor) -> Tensor:
        against = torch.rsub(value, 1, alpha=2)
        found = logits.new_empty(logits.shape[:-1], dtype=torch.promote_types(logits.dtype, value.dtype))
        for several, some in _pieces(logits):
            found[several, some] = _log_mass(against[some] * logits[several, some])
        return found

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,), (logits, value) = grads, ctx.saved_tensors
        if torch.is_grad_enabled():
            return (value - logits.to(grad.dtype).sigmoid()) * grad.unsqueeze(-1), None
        found = torch.empty_like(logits)
        for several, some in _pieces(logits):
            off = value[some] - logits[several, some].to(grad.dtype).sigmoid()
            found[several, some] = off.mul_(grad[several, some].unsqueeze(-1))
        return found, None


def _pieces(logits: Tensor) -> Iterator[Piece]:
    """Slices of particles and of data (K, B, ·), few enough on a CPU that they fit in its cores' caches."""
    particles, data, dim = logits.shape
    room = CACHED * torch.get_num_threads() if logits.device.type == "cpu" else logits.numel()
    some = min(data, max(1, room // dim))
    several = max(1, room // (some * dim))
    for start in range(0, data, some):
        for first in range(0, particles, several):
            yield slice(first, first + several), slice(start, start + some)


def _log_mass(u: Tensor) -> Tensor:
    """Σ log σ(−u) over the last dimension, as log Π σ(|u|) − Σ max(u, 0); u is used up.

    Each factor lies between ½ and 1, so as many as the type has binary exponents multiply without underflow, and few
    logarithms are taken.
    """
    return log_product(u.abs().sigmoid_()) - u.clamp_min_(0).sum(-1)


def log_product(factors: Tensor) -> Tensor:
    """log Π over the last dimension of numbers between ½ and 1.

    >>> log_product(torch.full((1000,), 0.5)).round()
    tensor(-693.)
    """
    most, count = -int(math.log2(torch.finfo(factors.dtype).tiny)), factors.shape[-1]
    size = next(size for size in range(most, 0, -1) if count % size == 0)
    return factors.unflatten(-1, (count // size, size)).prod(-1).log_().sum(-1)
