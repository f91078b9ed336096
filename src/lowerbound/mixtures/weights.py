"""Mixing weights: how often each component is drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self, final

import torch
from torch import Tensor


class Weights(ABC):
    """The weights π of R mixtures of K components, known or believed."""

    @property
    @abstractmethod
    def log(self) -> Tensor:
        """log π, or its mean under a belief; (R, K)."""

    @property
    @abstractmethod
    def mean(self) -> Tensor:
        """π, or its mean; (R, K)."""

    @property
    @abstractmethod
    def penalty(self) -> Tensor:
        """What is added to the log-likelihood of all rows for the bound that EM climbs, (R,)."""

    @property
    @abstractmethod
    def least(self) -> float:
        """A component that counts for fewer rows than this is lost, and is seeded anew."""

    @abstractmethod
    def refit(self, counts: Tensor) -> Self:
        """The M-step; counts (R, K) = Σ_n r_nk."""

    @abstractmethod
    def pick(self, mixtures: Tensor) -> Self:
        """The weights of some of the R mixtures, by number or by a mask."""


@final
@dataclass(frozen=True, eq=False)
class Proportions(Weights):
    """Weights of maximal likelihood: π_k = Σ_n r_nk / N.

    >>> Proportions.even(1, 2).refit(torch.tensor([[30.0, 10.0]])).mean
    tensor([[0.7500, 0.2500]], dtype=torch.float64)
    """

    log_shares: Tensor

    @classmethod
    def even(cls, restarts: int, components: int, device: torch.device | str = "cpu") -> Proportions:
        """All components alike."""
        return cls(torch.zeros(restarts, components, dtype=torch.float64, device=device).log_softmax(-1))

    @property
    def log(self) -> Tensor:
        return self.log_shares

    @property
    def mean(self) -> Tensor:
        return self.log_shares.exp()

    @property
    def penalty(self) -> Tensor:
        return self.log_shares.new_zeros(len(self.log_shares))

    @property
    def least(self) -> float:
        return 0.5

    def refit(self, counts: Tensor) -> Proportions:
        counts = counts.double()
        return Proportions((counts / counts.sum(-1, keepdim=True)).log())

    def pick(self, mixtures: Tensor) -> Proportions:
        return Proportions(self.log_shares[mixtures])
