"""The Pareto k̂ of importance weights: how heavy their tail is, and so how far their mean can be believed.

Aki Vehtari, Daniel Simpson, Andrew Gelman, Yuling Yao and Jonah Gabry, "Pareto smoothed importance sampling", 2024;
Jin Zhang and Michael A. Stephens, "A new and efficient estimation method for the
generalized Pareto distribution", 2009.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Above this the mean converges too slowly to be trusted at any feasible number of particles.
RELIABLE_K = 0.7
_SMALLEST_TAIL = 5
_PRIOR_STRENGTH, _PRIOR_K = 10, 0.5


def pareto_k(log_w: Tensor) -> Tensor:
    """k̂ of each column of log weights (K, B) -> (B,). Below 0.5 good, below 0.7 usable, above it not to be believed.

    Infinite where the tail holds fewer than five distinct weights above its cut-off, and −∞ where several weights are
    all equal, as they are when the posterior is exact.

    >>> from torch.distributions import Pareto
    >>> _ = torch.manual_seed(0)
    >>> w = Pareto(torch.ones(()), torch.tensor(1 / 0.8)).sample((100_000, 1))
    >>> bool((pareto_k(w.log()) - 0.8).abs() < 0.15)
    True
    """
    exact = (log_w.max(0).values - log_w.min(0).values <= 1e-6) & (len(log_w) > 1)
    sizes, excess = _tails(log_w.double())
    k = torch.full_like(sizes, math.inf, dtype=torch.float64)
    for size in sizes.unique().tolist():
        if size >= _SMALLEST_TAIL:
            chosen = sizes == size
            k[chosen] = _generalised_pareto_shape(excess[-size:, chosen])
    return torch.where(exact, -math.inf, k).to(log_w.dtype)


def tail_length(particles: int) -> int:
    """How many of the largest weights the tail is fitted to: min(K/5, 3√K), rounded up."""
    return math.ceil(min(particles / 5, 3 * math.sqrt(particles)))


def _tails(log_w: Tensor) -> tuple[Tensor, Tensor]:
    """The number of weights above the cut-off (B,), and the tail's excesses over it, ascending, (M, B)."""
    particles = len(log_w)
    kept = min(tail_length(particles) + 1, particles)
    top = (log_w - log_w.max(0).values).topk(kept, dim=0).values.flip(0)
    cutoff = top[0].clamp_min(math.log(torch.finfo(torch.float64).tiny))
    return (top[1:] > cutoff).sum(0), top[1:].exp() - cutoff.exp()


def _generalised_pareto_shape(x: Tensor) -> Tensor:
    """The shape of a generalised Pareto fitted to ascending excesses (n, B) -> (B,), shrunk a little towards ½."""
    n = len(x)
    candidates = _candidate_rates(x)
    shape = torch.log1p(-candidates[:, None] * x).mean(1)
    profile = n * ((-candidates / shape).log() - shape - 1)
    weights = torch.softmax(profile, 0)
    weights = torch.where(weights >= 10 * torch.finfo(torch.float64).eps, weights, 0)
    rate = (candidates * weights).sum(0) / weights.sum(0)
    k = torch.log1p(-rate * x).mean(0)
    return (n * k + _PRIOR_STRENGTH * _PRIOR_K) / (n + _PRIOR_STRENGTH)


def _candidate_rates(x: Tensor) -> Tensor:
    """Zhang and Stephens' grid of rates, (m, B)."""
    n = len(x)
    m = 30 + math.isqrt(n)
    grid = 1 - torch.sqrt(m / (torch.arange(1, m + 1, dtype=x.dtype, device=x.device) - 0.5))
    quartile = x[int(n / 4 + 0.5) - 1]
    return grid[:, None] / (3 * quartile) + 1 / x[-1]
