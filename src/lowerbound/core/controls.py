"""Control variates for the score function: what each particle's bound is compared with, so that little noise is left.

Every baseline here is the bound with one particle's value replaced by a guess that does not depend on that particle.
So one idea serves all bounds, and the gradient's mean is untouched whatever the guess.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from lowerbound.core.bounds import Bound, Mean


class Control(Protocol):
    """A control variate for `Score`: what to subtract from the bound for each particle."""

    def __call__(self, values: Tensor, log_measure: Tensor, bound: Bound) -> Tensor:
        """(K, B) baselines; each may depend on every particle but its own."""


def no_control(values: Tensor, log_measure: Tensor, bound: Bound) -> Tensor:
    """Plain REINFORCE. Ronald J. Williams, "Simple statistical gradient-following algorithms", 1992."""
    return torch.zeros_like(values)


def leave_one_out(values: Tensor, log_measure: Tensor, bound: Bound) -> Tensor:
    """The bound with particle k's value replaced by the mean of the others': RLOO for the ELBO, VIMCO for IWAE.

    Wouter Kool, Herke van Hoof and Max Welling, "Buy 4 REINFORCE samples, get a baseline for free!", 2019;
    Andriy Mnih and Danilo J. Rezende, "Variational inference for Monte Carlo objectives", 2016.
    """
    k = len(values)
    if k < 2:
        raise ValueError("a leave-one-out control needs at least 2 particles; ask for more, or use Score(no_control)")
    return replaced(values, (values.sum(0) - values) / (k - 1), log_measure, bound)


def replaced(values: Tensor, guesses: Tensor, log_measure: Tensor, bound: Bound) -> Tensor:
    """The bound with each particle's value in turn replaced by its guess, (K, B); guesses (K, B) or (B,).

    >>> from lowerbound.core.bounds import Mean
    >>> replaced(torch.tensor([[1.0], [3.0]]), torch.tensor([[5.0], [7.0]]), torch.tensor([[0.5]]).log(), Mean())
    tensor([[4.],
            [4.]])
    """
    held_out = torch.eye(len(values), dtype=torch.bool, device=values.device)[:, :, None]
    return bound(torch.where(held_out, guesses.expand_as(values)[:, None], values[:, None]), log_measure[:, None])


def require_mean(bound: Bound, estimator: str) -> None:
    """Refuse an importance-weighted bound for an estimator that weighs each particle by itself."""
    if not isinstance(bound, Mean):
        raise ValueError(f"{estimator} is for averages over particles, such as the ELBO; for this bound use Score")
