"""What z tells of x, and whether the decoder listens: the tools by which a collapsed posterior is known."""

from __future__ import annotations

import math
from typing import Any, final

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from lowerbound.core import Meter, Trace
from lowerbound.core.latent import Model
from lowerbound.core.refinement import coordinates
from lowerbound.evaluation.statistics import estimate

NUMBERS_KEPT = 1 << 24
"""Numbers that posteriors are remembered by: at most so many in all, of the first rows."""

WORK = 1 << 29
"""Numbers to be looked at in comparing draws of z with the posteriors of all rows; it bounds how many draws."""

MOST_DRAWS, LEAST_DRAWS = 1000, 32

AT_ONCE = 1 << 22
"""Numbers looked at in one go."""


@final
class Information(Meter):
    """How much z tells of x, for a model with one Gaussian latent; nothing for others.

    Under the name "information", in nats, each a mean with its standard error over the draws:

    mutual_information: I_q(x; z) = E KL(q(z|x) ‖ q(z)), between z and which of these N rows x is. q(z) = 1/N Σ_j
    q(z|x_j) is that of the rows themselves, and so I_q is at most log N ("at_most"); a figure near that says that there
    are too few rows to tell how much z tells.
    aggregate_kl: KL(q(z) ‖ p(z)), how far the codes of all data together are from the prior; the two make up the rate.
    shuffled: by how much the distortion rises when each datum is decoded from the z of another of its chunk: about zero
    where the decoder does without z. draws, rows: of z, and N.

    Matthew D. Hoffman and Matthew J. Johnson, "ELBO surgery: yet another way to carve up the variational evidence lower
    bound", 2016; Junxian He, Daniel Spokoyny, Graham Neubig and Taylor Berg-Kirkpatrick, "Lagging inference networks
    and posterior collapse in variational autoencoders", 2019.
    """

    def __init__(self, model: Model) -> None:
        self.model, self.known, self.room = model, True, NUMBERS_KEPT
        self.posteriors: list[Distribution] = []
        self.draws: list[Tensor] = []
        self.densities: list[Tensor] = []
        self.losses: list[Tensor] = []

    def add(self, trace: Trace) -> None:
        self.known &= isinstance(trace.q, Distribution) and trace.proper and is_gaussian(trace.q)
        if self.known:
            self.losses.append(lost_by_shuffling(self.model, trace))
            self._keep(trace.pairs["z"][0], trace)

    def figures(self) -> dict[str, Any]:
        if not self.known or not self.posteriors:
            return {}
        z, densities = torch.cat(self.draws), torch.cat(self.densities)
        chosen = evenly(len(z), draws_within_reason(len(z) * numbers(self.posteriors[0])), z.device)
        log_q, log_p = densities[chosen].unbind(1)
        log_aggregate = log_mean(self.posteriors, z[chosen])
        shuffled = torch.cat(self.losses)
        return {
            "information": {
                "mutual_information": estimate(log_q - log_aggregate),
                "at_most": math.log(len(z)),
                "aggregate_kl": estimate(log_aggregate - log_p),
                "shuffled": estimate(shuffled) if len(shuffled) else None,
                "draws": len(chosen),
                "rows": len(z),
            }
        }

    def _keep(self, q: Distribution, trace: Trace) -> None:
        """Remember the chunk's posteriors, a draw of each and its densities, if there is room."""
        self.room -= trace.batch.size * numbers(q)
        if self.room >= 0 or not self.posteriors:
            self.posteriors.append(q)
            self.draws.append(trace.named_z["z"][0])
            self.densities.append(torch.stack([trace.log_q[0], trace.log_p[0]], 1))


def is_gaussian(q: Distribution) -> bool:
    """Whether `core.coordinates` knows the family."""
    try:
        coordinates(q)
    except ValueError:
        return False
    return True


def numbers(q: Distribution) -> int:
    """How many numbers each datum's posterior is made of, or twice that."""
    dims = q.event_shape.numel()
    return dims if isinstance(q, Independent) else dims**2


def draws_within_reason(numbers_of_all: int) -> int:
    """How many draws of z can be compared with posteriors of so many numbers.

    >>> draws_within_reason(10_000 * 50), draws_within_reason(10_000 * 3072)
    (1000, 32)
    """
    return min(MOST_DRAWS, max(LEAST_DRAWS, WORK // numbers_of_all))


def evenly(rows: int, count: int, device: torch.device) -> Tensor:
    """At most `count` row numbers, evenly spread.

    >>> evenly(10, 3, torch.device("cpu"))
    tensor([0, 3, 6])
    """
    few = min(rows, count)
    return torch.arange(few, device=device) * rows // few


def lost_by_shuffling(model: Model, trace: Trace) -> Tensor:
    """How many nats each datum's distortion rises by where z is that of another, drawn at random, (B,) or (0,).

    One random cycle through the batch, so that none keeps its own.
    """
    rows = trace.batch.size
    order = torch.randperm(rows, device=trace.log_px.device)
    other = torch.empty_like(order).scatter_(0, order, order.roll(1))
    z = trace.named_z["z"][:1, other]
    moved = Trace(z, trace.q, trace.p, model.decode(z, trace.batch.c), trace.batch, trace.estimator)
    return (trace.log_px[0] - moved.log_px[0])[: rows if rows > 1 else 0]


def log_mean(posteriors: list[Distribution], z: Tensor) -> Tensor:
    """log of the mean density that all these posteriors give to each z, (S,)."""
    sums = torch.stack([_log_sum(q, z) for q in posteriors])
    return torch.logsumexp(sums, 0) - math.log(sum(q.batch_shape.numel() for q in posteriors))


def _log_sum(q: Distribution, z: Tensor) -> Tensor:
    """log Σ_j q_j(z) over the rows j of a chunk, (S,)."""
    at_once = max(1, AT_ONCE // (q.batch_shape.numel() * numbers(q)))
    return torch.cat([torch.logsumexp(q.log_prob(part.unsqueeze(1)), 1) for part in z.split(at_once)])
