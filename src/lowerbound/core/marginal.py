"""log p(x) by importance sampling, and how far it can be believed: standard error, effective sample size, Pareto k̂."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.core.batch import Batch
from lowerbound.core.conditionals import Conditional
from lowerbound.core.controls import no_control
from lowerbound.core.estimators import Enumerate, Score
from lowerbound.core.latent import Latent, Model, settled
from lowerbound.core.psis import RELIABLE_K, pareto_k

# Decodes in one pass, and log weights kept at once: memory is bounded by these, not by data × particles.
DECODES_PER_PASS = 1024
# What a pass costs by itself (a ladder runs its encoder) should be spread over this many particles of each datum.
PARTICLES_PER_PASS = 16
WEIGHTS_HELD = 1 << 22
# Nats. Where log p of a datum is estimated with as many particles as it takes, this is accurate enough.
TOLERABLE_STDERR = 0.1
LEAST, GROWTH, MOST = 200, 4, 12_800


@final
class Marginal(NamedTuple):
    """An estimate of log p(x) for each datum, all (B,).

    log_p: log (1/K) Σ_k w_k, nats; in expectation a lower bound. stderr: its standard error, by the delta method;
    NaN for one particle, which says nothing of its own error.
    ess: effective sample size, between 1 and K. khat: the Pareto shape of the weights' tail; above 0.7, distrust.
    particles: K.
    """

    log_p: Tensor
    stderr: Tensor
    ess: Tensor
    khat: Tensor
    particles: Tensor

    @property
    def believed(self) -> Tensor:
        """Whether k̂ ≤ 0.7 and the standard error is at most a tenth of a nat."""
        return (self.khat <= RELIABLE_K) & (self.stderr <= TOLERABLE_STDERR)


def summarise(log_w: Tensor) -> Marginal:
    """The estimate and its diagnostics from log weights (K, B).

    >>> summarise(torch.zeros(128, 2)).ess.round()
    tensor([128., 128.])
    """
    k = len(log_w)
    share = torch.softmax(log_w, 0)
    ess = 1 / share.square().sum(0)
    variance = (1 / ess - 1 / k).clamp_min(0) * k / (k - 1) if k > 1 else torch.full_like(ess, math.nan)
    particles = torch.full_like(ess, k, dtype=torch.long)
    return Marginal(torch.logsumexp(log_w, 0) - math.log(k), variance.sqrt(), ess, pareto_k(log_w), particles)


@torch.no_grad()
def log_weights(model: Model, batch: Batch, particles: int, decodes: int = DECODES_PER_PASS) -> Tensor:
    """log p(x,z_k) − log q(z_k|x) at K draws, (K, B), decoding at most `decodes` particles (but one a datum) a pass."""
    at_once, model = max(1, decodes // batch.size), settled(model, batch)
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
    parts = [summarise(log_weights(model, part, particles, decodes)) for part in _groups(batch, particles, decodes)]
    return joined(parts)


def adaptive_log_marginal(
    model: Model, batch: Batch, least: int = LEAST, most: int = MOST, decodes: int = DECODES_PER_PASS
) -> Marginal:
    """The same, with as many particles for each datum as it takes for the estimate to be `believed`, up to `most`.

    Particles are drawn, `least` at first, and multiplied by four as long as they leave doubt; the estimate is then made
    from as many new ones. Weights that had said when to stop would be too light on average, a datum being left early
    where its heavy tail happened not to show; of new ones log_p is a lower bound as ever.

    >>> from lowerbound.core import Bernoulli, Gaussian, Latent, standard_normal
    >>> encoder = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Unflatten(-1, (2, 2)))
    >>> model = Latent(standard_normal(2), Gaussian(encoder), Bernoulli(torch.nn.Linear(2, 4)))
    >>> adaptive_log_marginal(model, Batch({"x": torch.zeros(3, 4)})).particles
    tensor([200, 200, 200])
    """
    groups = _groups(batch, most, decodes)
    wanted = torch.cat(
        [_wanted(model, part, log_weights(model, part, least, decodes), most, decodes) for part in groups]
    )
    sizes = wanted.unique().tolist()
    found = [log_marginal(model, batch[wanted == size], size, decodes) for size in sizes]
    order = torch.cat([(wanted == size).nonzero().squeeze(1) for size in sizes]).argsort()
    return Marginal(*(field[order] for field in joined(found)))


def naive_log_marginal(model: Latent, batch: Batch, particles: int, decodes: int = DECODES_PER_PASS) -> Marginal:
    """log p(x) ≈ log (1/K) Σ_k p(x|z_k) with z_k ~ p(z): what importance sampling is there to better."""
    return log_marginal(uninformed(model), batch, particles, decodes)


def uninformed(model: Latent) -> Latent:
    """The model with its prior in the posterior's place, so that nothing is proposed for the sake of what was seen."""
    likelihood = {name: part for name, part in model.likelihood.items() if isinstance(part, Conditional)}
    return Latent(model.prior, _Unread(model.prior), likelihood, reads=lambda batch: (batch,))


def joined(parts: Sequence[Marginal]) -> Marginal:
    """The estimates of groups of data, one after another."""
    return Marginal(*(torch.cat(field) for field in zip(*parts)))


@torch.no_grad()
def enumerated_log_marginal(model: Model, batch: Batch) -> Tensor:
    """log p(x) = log Σ_z p(x,z), exactly, for a latent with finitely many values; (B,)."""
    trace = model.trace(batch, estimator=Enumerate())
    return torch.logsumexp(trace.log_px + trace.log_p, 0)


@final
class _Unread(Conditional):
    """p(z|c) for each datum of a batch."""

    def __init__(self, prior: Conditional) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, *given: object) -> Distribution:
        (batch,) = given
        assert isinstance(batch, Batch)
        p = self.prior(batch.c)
        return p if p.batch_shape else p.expand((batch.size,))


def _groups(batch: Batch, particles: int, decodes: int) -> list[Batch]:
    size = max(1, min(batch.size, WEIGHTS_HELD // particles, decodes // PARTICLES_PER_PASS))
    return [batch[start : start + size] for start in range(0, batch.size, size)]


def _wanted(model: Model, batch: Batch, log_w: Tensor, most: int, decodes: int) -> Tensor:
    """How many particles it takes (B,), as far as these log weights (K, B) tell, and more where they leave doubt."""
    size = len(log_w)
    wanted, doubtful = torch.full_like(log_w[0], size, dtype=torch.long), ~summarise(log_w).believed
    if not doubtful.any():
        return wanted
    if GROWTH * size >= most:
        return wanted.masked_fill(doubtful, most)
    rest = batch[doubtful]
    grown = torch.cat([log_w[:, doubtful], log_weights(model, rest, (GROWTH - 1) * size, decodes)])
    return wanted.masked_scatter(doubtful, _wanted(model, rest, grown, most, decodes))
