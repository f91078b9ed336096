"""The log-likelihood of what was observed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from lowerbound.core.bernoulli import LogitBernoulli, bernoulli_log_mass


def observed_log_prob(d: Distribution, x: Tensor, mask: Tensor | None) -> Tensor:
    """log p of the observed entries alone: entries under a False contribute nothing, whatever they hold.

    d must factorise over its event (an `Independent`), or say by `takes_gaps = True` that it leaves out what is NaN.
    Zero is in the support of every likelihood here, so it can stand in for what is missing without a NaN passing
    through the gradient.
    """
    if mask is None:
        return _whole_log_prob(d, x)
    if getattr(d, "takes_gaps", False):
        return d.log_prob(torch.where(mask, x, torch.nan))
    if not isinstance(d, Independent):
        raise ValueError(f"a mask needs a likelihood that factorises over its event; {type(d).__name__} does not")
    entries = torch.where(mask, d.base_dist.log_prob(torch.where(mask, x, 0)), 0)
    return entries.flatten(-d.reinterpreted_batch_ndims).sum(-1) if d.reinterpreted_batch_ndims else entries


def _whole_log_prob(d: Distribution, x: Tensor) -> Tensor:
    if not (isinstance(d, Independent) and isinstance(d.base_dist, LogitBernoulli) and d.reinterpreted_batch_ndims):
        return d.log_prob(x)
    dims = d.reinterpreted_batch_ndims
    return bernoulli_log_mass(d.base_dist.given.flatten(-dims), x.flatten(-dims))
