"""The Pareto k̂ of importance weights: how heavy their tail is, and so how far their mean can be believed.

Aki Vehtari, Daniel Simpson, Andrew Gelman, Yuling Yao and Jonah Gabry, "Pareto smoothed importance sampling", 2024;
Jin Zhang and Michael A. Stephens, "A new and efficient estimation method for the
generalized Pareto distribution", 2009.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple, final

import torch
from torch import Tensor

# Above this the mean converges too slowly to be trusted at any feasible number of particles.
RELIABLE_K = 0.7
_SMALLEST_TAIL = 5
_PRIOR_STRENGTH, _PRIOR_K = 10, 0.5


def pareto_k(log_w: Tensor) -> Tensor:
    """k̂ of each column of log weights (K, B) -> (B,). Below 0.5 good, below 0.7 usable, above it not to be believed.

    Infinite where there is no tail to fit: fewer than five weights above its cut-off, or ties alone, as of a z of few
    values (ArviZ may have NaN there); and −∞ where all weights are equal, as they are when the posterior is exact
    (ArviZ has it infinite).

    >>> from torch.distributions import Pareto
    >>> _ = torch.manual_seed(0)
    >>> w = Pareto(torch.ones(()), torch.tensor(1 / 0.8)).sample((100_000, 1))
    >>> bool((pareto_k(w.log()) - 0.8).abs() < 0.15)
    True
    """
    exact = (log_w.max(0).values - log_w.min(0).values <= 1e-6) & (len(log_w) > 1)
    k = torch.full(log_w.shape[1:], math.inf, dtype=torch.float64, device=log_w.device)
    for columns, tail in _tails(log_w.double()):
        k[columns] = _generalised_pareto(tail.excess)[0]
    return torch.where(exact, -math.inf, torch.where(k.isnan(), math.inf, k)).to(log_w.dtype)


def smoothed(log_w: Tensor) -> Tensor:
    """The log weights (K, B), the tail of each column replaced by the quantiles of the Pareto fitted to it.

    None grows beyond the largest that was drawn. The mean of smoothed weights varies less than that of the weights
    themselves, but it is no longer right on average: its logarithm is no lower bound. A column without a tail to fit
    (see `pareto_k`) stays as it is.

    >>> _ = torch.manual_seed(0)
    >>> log_w = 0.9 * torch.distributions.Exponential(1.0).sample((1000, 500))
    >>> plain, smooth = (torch.logsumexp(each, 0).std() for each in (log_w, smoothed(log_w)))
    >>> bool(smooth < plain)
    True
    """
    values = log_w.to(torch.float64, copy=True)
    for columns, tail in _tails(values):
        column = values[:, columns]
        values[:, columns] = column.scatter(0, tail.places, tail.smoothed() + column.max(0).values)
    return values.to(log_w.dtype)


def tail_length(particles: int) -> int:
    """How many of the largest weights the tail is fitted to: min(K/5, 3√K), rounded up."""
    return math.ceil(min(particles / 5, 3 * math.sqrt(particles)))


@final
class _Tail(NamedTuple):
    """The largest weights of some columns, (M, B) each, ascending; the largest of all is 1, and log_cutoff is (B,).

    places: which of the column's weights they are. excess: by how much they are above the cut-off.
    """

    places: Tensor
    log_w: Tensor
    log_cutoff: Tensor

    @property
    def excess(self) -> Tensor:
        return self.log_w.exp() - self.log_cutoff.exp()

    def smoothed(self) -> Tensor:
        """Their logarithms after smoothing; as they were where no Pareto fits."""
        shape, scale = _generalised_pareto(self.excess)
        share = (torch.arange(len(self.log_w), dtype=scale.dtype, device=scale.device) + 0.5) / len(self.log_w)
        quantiles = scale * _unit_pareto_quantiles(share[:, None], shape)
        found = (quantiles + self.log_cutoff.exp()).log().clamp(max=0)
        return torch.where(shape.isfinite(), found, self.log_w)


def _tails(log_w: Tensor) -> Iterator[tuple[Tensor, _Tail]]:
    """Which columns have a tail of a length, (B,) true or false, and those tails, for each length worth fitting."""
    kept = min(tail_length(len(log_w)) + 1, len(log_w))
    top, places = (each.flip(0) for each in (log_w - log_w.max(0).values).topk(kept, dim=0))
    cutoff = top[0].clamp_min(math.log(torch.finfo(torch.float64).tiny))
    sizes = (top[1:] > cutoff).sum(0)
    for size in sizes.unique().tolist():
        if size >= _SMALLEST_TAIL:
            columns = sizes == size
            yield columns, _Tail(places[-size:, columns], top[-size:, columns], cutoff[columns])


def _unit_pareto_quantiles(share: Tensor, shape: Tensor) -> Tensor:
    """Of a generalised Pareto of unit scale, (M, 1) and (B,) -> (M, B)."""
    exponential = -torch.log1p(-share)
    flat = shape.abs() < torch.finfo(shape.dtype).eps
    return torch.where(flat, exponential, torch.expm1(shape * exponential) / torch.where(flat, 1, shape))


def _generalised_pareto(x: Tensor) -> tuple[Tensor, Tensor]:
    """Shape and scale of a generalised Pareto fitted to ascending excesses (n, B); (B,) each, the shape drawn to ½."""
    n = len(x)
    candidates = _candidate_rates(x)
    shape = torch.log1p(-candidates[:, None] * x).mean(1)
    profile = n * ((-candidates / shape).log() - shape - 1)
    weights = torch.softmax(profile, 0)
    weights = torch.where(weights >= 10 * torch.finfo(torch.float64).eps, weights, 0)
    rate = (candidates * weights).sum(0) / weights.sum(0)
    k = torch.log1p(-rate * x).mean(0)
    return (n * k + _PRIOR_STRENGTH * _PRIOR_K) / (n + _PRIOR_STRENGTH), -k / rate


def _candidate_rates(x: Tensor) -> Tensor:
    """Zhang and Stephens' grid of rates, (m, B)."""
    n = len(x)
    m = 30 + math.isqrt(n)
    grid = 1 - torch.sqrt(m / (torch.arange(1, m + 1, dtype=x.dtype, device=x.device) - 0.5))
    quartile = x[int(n / 4 + 0.5) - 1]
    return grid[:, None] / (3 * quartile) + 1 / x[-1]
