"""The codes of a batch taken together: what objectives of the aggregate posterior q(z) = E_x[q(z|x)] read."""

from __future__ import annotations

import torch
from torch import Tensor

from lowerbound.core.latent import Trace


def codes(trace: Trace) -> Tensor:
    """The particles of all latents side by side, (K, B, D)."""
    return torch.cat([z.flatten(2) for z in trace.named_z.values()], -1)


def prior_draws(trace: Trace) -> Tensor:
    """As many draws z ~ p(z|c) as there are particles, laid out like `codes`."""
    draws = []
    for name, z in trace.named_z.items():
        p = trace.pairs[name][1]
        new = z.dim() - len(p.batch_shape) - len(p.event_shape)
        draws.append(p.sample(z.shape[:new]).flatten(2))
    return torch.cat(draws, -1)


def for_each_datum(value: Tensor, trace: Trace) -> Tensor:
    """A scalar of the whole batch as (B,), so that its mean over the batch is itself."""
    return value.expand(trace.batch.size)
