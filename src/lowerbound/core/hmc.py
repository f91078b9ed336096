"""Hamiltonian Monte Carlo on many targets at once, none of them ever waiting for another.

Simon Duane, Anthony D. Kennedy, Brian J. Pendleton and Duncan Roweth, "Hybrid Monte Carlo", 1987; Radford M. Neal,
"MCMC using Hamiltonian dynamics", 2011.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, final

import torch
from torch import Tensor

Terms = Callable[[Tensor], Sequence[Tensor]]
"""From z (K, B, D) to log densities, (K, B) each, which need not be normalised. A target is a weighted sum of them."""

# Each trajectory's step is drawn within this share of what is asked for, lest its length be a period of the target's.
JITTER = 0.2


@final
class State(NamedTuple):
    """Where K chains of each of B targets are: z (K, B, D), the terms there (T, K, B) and their slopes (T, K, B, D)."""

    z: Tensor
    values: Tensor
    slopes: Tensor


def state(terms: Terms, z: Tensor) -> State:
    """The terms and their slopes at z."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        values = terms(z)
        slopes = [torch.autograd.grad(value.sum(), z, retain_graph=True)[0] for value in values]
    return State(z.detach(), torch.stack([value.detach() for value in values]), torch.stack(slopes))


@torch.no_grad()
def transition(terms: Terms, here: State, weights: Tensor, step: Tensor, leapfrogs: int) -> tuple[State, Tensor]:
    """A move that leaves exp Σ_t weights_t terms_t invariant, and how probable its acceptance was.

    weights: (T,). step: (B, D) or (B, 1), of the leapfrog integrator; in proportion to the target's scale in each
    dimension it is what a diagonal mass matrix would be. The probability is (K, B). The move is its own reversal.

    >>> _ = torch.manual_seed(0)
    >>> normal = lambda z: (-0.5 * z.square().sum(-1),)
    >>> here, one = state(normal, torch.randn(1000, 2, 1)), torch.ones(1)
    >>> there, accepted = transition(normal, here, one, torch.full((2, 1), 0.5), leapfrogs=3)
    >>> bool((accepted.mean() - 1).abs() < 0.1), bool((there.z.var(0) - 1).abs().max() < 0.2)
    (True, True)
    """
    pushed = torch.randn_like(here.z)
    jittered = step * torch.empty_like(here.z[..., :1]).uniform_(1 - JITTER, 1 + JITTER)
    there, left = _trajectory(terms, here, pushed, weights, jittered, leapfrogs)
    gain = _weighted(weights, there.values - here.values) + 0.5 * (pushed.square() - left.square()).sum(-1)
    accepting = gain.exp().clamp(max=1).nan_to_num(0)  # a trajectory that diverged is refused
    return _chosen(torch.rand_like(accepting) < accepting, there, here), accepting


def _trajectory(
    terms: Terms, here: State, momentum: Tensor, weights: Tensor, step: Tensor, leapfrogs: int
) -> tuple[State, Tensor]:
    for _ in range(leapfrogs):
        momentum = momentum + 0.5 * step * _weighted(weights, here.slopes)
        here = state(terms, here.z + step * momentum)
        momentum = momentum + 0.5 * step * _weighted(weights, here.slopes)
    return here, momentum


def _weighted(weights: Tensor, each: Tensor) -> Tensor:
    return torch.tensordot(weights, each, 1)


def _chosen(taken: Tensor, there: State, here: State) -> State:
    """Chain by chain, (K, B)."""
    each = taken.unsqueeze(-1)
    return State(
        torch.where(each, there.z, here.z),
        torch.where(taken, there.values, here.values),
        torch.where(each, there.slopes, here.slopes),
    )
