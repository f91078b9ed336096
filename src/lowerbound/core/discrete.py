"""Bernoulli latents: their prior, and their divergence from each other."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Distribution, Independent, register_kl
from torch.nn import functional as F

from lowerbound.core.bernoulli import LogitBernoulli


def bits(logits: Tensor) -> Distribution:
    """Independent Bernoulli bits from logits (..., D); `Fixed(bits, logits=…)` is a prior, learned if a parameter is.

    >>> import torch
    >>> from lowerbound.core import Fixed
    >>> Fixed(bits, logits=torch.zeros(3))().log_prob(torch.ones(3)).exp()
    tensor(0.1250)
    """
    return Independent(LogitBernoulli(logits), 1, validate_args=False)


@register_kl(LogitBernoulli, LogitBernoulli)
def _kl_bits(q: LogitBernoulli, p: LogitBernoulli) -> Tensor:
    # From logits, so that nothing is lost where a probability rounds to one, and without torch's masks.
    return q.probs * (q.logits - p.logits) + F.logsigmoid(-q.logits) - F.logsigmoid(-p.logits)
