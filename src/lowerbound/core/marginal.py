"""log p(x) by importance sampling, and how far it can be believed: standard error, effective sample size, Pareto k̂."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lowerbound.core.batch import Batch
from lowerbound.core.controls import no_control
from lowerbound.core.estimators import Enumerate, Score
from lowerbound.core.latent import Model
from lowerbound.core.psis import pareto_k

# Decodes in one pass, and log weights kept at once: memory is bounded by these, not by data × particles.
DECODES_PER_PASS = 1024
# The encoder runs once a pass, so a pass should spread its cost over this many particles of each datum.
PARTICLES_PER_PASS = 16
WEIGHTS_HELD = 1 << 22


class Marginal(NamedTuple):
    """An estimate of log p(x) for each datum, all (B,).

    log_p: log (1/K) Σ_k w_k, nats; in expectation a lower bound. stderr: its standard error, by the delta method;
    NaN for one particle, which says nothing of its own error.
    ess: effective sample size, between 1 and K. khat: the Pareto shape of the weights' tail; above 0.7, distrust.
    """

    log_p: Tensor
    stderr: Tensor
    ess: Tensor
    khat: Tensor


def summarise(log_w: Tensor) -> Marginal:
    """The estimate and its diagnostics from log weights (K, B).

    >>> summarise(torch.zeros(128, 2)).ess.round()
    tensor([128., 128.])
    """
    k = len(log_w)
    share = torch.softmax(log_w, 0)
    ess = 1 / share.square().sum(0)
    variance = (1 / ess - 1 / k).clamp_min(0) * k / (k - 1) if k > 1 else torch.full_like(ess, math.nan)
    return Marginal(torch.logsumexp(log_w, 0) - math.log(k), variance.sqrt(), ess, pareto_k(log_w))


@torch.no_grad()
def log_weights(model: Model, batch: Batch, particles: int, decodes: int = DECODES_PER_PASS) -> Tensor:
    """log p(x,z_k) − log q(z_k|x) at K draws, (K, B), decoding at most `decodes` particles (but one a datum) a pass."""
    at_once = max(1, decodes // batch.size)
    trace = model.trace(batch, min(at_once, particles), Score(no_control))
    first = trace.log_w
    if trace.certain:
        return first[:1].expand(particles, -1)
    # Filled in place: small results kept between large temporaries would pin them all in memory.
    log_w = first.new_empty(particles, batch.size)
    log_w[: len(first)] = first
    for start in range(at_once, particles, at_once):
        part = log_w[start : start + at_once]
        part.copy_(model.trace(batch, len(part), Score(no_control)).log_w)
    return log_w


def log_marginal(model: Model, batch: Batch, particles: int, decodes: int = DECODES_PER_PASS) -> Marginal:
    """log p(x) of each datum by importance sampling from the posterior q(z|x), in bounded memory.

    Data are taken in groups whose weights fit in `WEIGHTS_HELD`. Randomness is torch's; seed it for the same numbers.
    """
    size = max(1, min(batch.size, WEIGHTS_HELD // particles, decodes // PARTICLES_PER_PASS))
    pieces = [batch[start : start + size] for start in range(0, batch.size, size)]
    parts = [summarise(log_weights(model, part, particles, decodes)) for part in pieces]
    return Marginal(*(torch.cat(field) for field in zip(*parts)))


@torch.no_grad()
def enumerated_log_marginal(model: Model, batch: Batch) -> Tensor:
    """log p(x) = log Σ_z p(x,z), exactly, for a latent with finitely many values; (B,)."""
    trace = model.trace(batch, estimator=Enumerate())
    return torch.logsumexp(trace.log_px + trace.log_p, 0)
