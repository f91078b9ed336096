"""Mixing weights: how often each component is drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, TypeAlias, final

import torch
from torch import Tensor, distributions
from torch.distributions import kl_divergence


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


Weighting: TypeAlias = Callable[[int, int, torch.device], Weights]
"""From R, K and a device to the weights that EM starts from."""


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


@final
@dataclass(frozen=True, eq=False)
class Dirichlet(Weights):
    """A belief Dirichlet(α) of the weights, where before any data it was Dirichlet(prior, …, prior).

    concentration (R, K): α. The bound of EM is then that of variational Bayes: log π enters by its mean, and −KL is
    added. With a prior below one, components that are not needed fade out. Hagai Attias, "A variational Bayesian
    framework for graphical models", 2000.

    >>> belief = Dirichlet.even(0.5)(1, 2).refit(torch.tensor([[30.0, 0.0]]))
    >>> belief.mean.round(decimals=4), belief.used
    (tensor([[0.9839, 0.0161]], dtype=torch.float64), tensor([1]))
    """

    concentration: Tensor
    prior: float

    @classmethod
    def even(cls, prior: float | None = None) -> Weighting:
        """All components alike, as `begin` takes it; a prior of 1/K unless told otherwise."""

        def weights(restarts: int, components: int, device: torch.device | str = "cpu") -> Dirichlet:
            known = _positive(1 / components if prior is None else prior)
            return cls(torch.full((restarts, components), known, dtype=torch.float64, device=device), known)

        return weights

    @property
    def log(self) -> Tensor:
        return self.concentration.digamma() - self.concentration.sum(-1, keepdim=True).digamma()

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.concentration.sum(-1, keepdim=True)

    @property
    def penalty(self) -> Tensor:
        before = torch.full_like(self.concentration, self.prior)
        return -kl_divergence(*(distributions.Dirichlet(each, False) for each in (self.concentration, before)))

    @property
    def least(self) -> float:
        return 0.0

    @property
    def used(self) -> Tensor:
        """How many components count for half a row or more, (R,)."""
        return (self.concentration - self.prior >= 0.5).sum(-1)

    def refit(self, counts: Tensor) -> Dirichlet:
        return Dirichlet(self.prior + counts.double(), self.prior)

    def pick(self, mixtures: Tensor) -> Dirichlet:
        return Dirichlet(self.concentration[mixtures], self.prior)


@final
@dataclass(frozen=True, eq=False)
class StickBreaking(Weights):
    """A belief of the weights of a Dirichlet process: π_k = v_k Π_{j<k} (1 − v_j), v_k ~ Beta(taken_k, left_k).

    Before any data v_k ~ Beta(1, prior), without end; the components are the first K, and no row is in a later one.
    taken, left (R, K). David M. Blei and Michael I. Jordan, "Variational inference for Dirichlet process mixtures",
    2006.
    """

    taken: Tensor
    left: Tensor
    prior: float

    @classmethod
    def even(cls, prior: float | None = None) -> Weighting:
        """No row yet, as `begin` takes it; a prior of 1/K unless told otherwise."""

        def weights(restarts: int, components: int, device: torch.device | str = "cpu") -> StickBreaking:
            known = _positive(1 / components if prior is None else prior)
            ones = torch.ones(restarts, components, dtype=torch.float64, device=device)
            return cls(ones, known * ones, known)

        return weights

    @property
    def log(self) -> Tensor:
        both = (self.taken + self.left).digamma()
        rest = (self.left.digamma() - both).cumsum(-1)
        return self.taken.digamma() - both + torch.nn.functional.pad(rest[..., :-1], (1, 0))

    @property
    def mean(self) -> Tensor:
        """E π_k, scaled up so that the first K sum to one."""
        share = self.taken / (self.taken + self.left)
        rest = torch.nn.functional.pad((1 - share).cumprod(-1)[..., :-1], (1, 0), value=1.0)
        return share * rest / (share * rest).sum(-1, keepdim=True)

    @property
    def penalty(self) -> Tensor:
        ones = torch.ones_like(self.taken)
        belief, before = distributions.Beta(self.taken, self.left, False), distributions.Beta(ones, self.prior * ones)
        return -kl_divergence(belief, before).sum(-1)

    @property
    def least(self) -> float:
        return 0.0

    @property
    def used(self) -> Tensor:
        """How many components count for half a row or more, (R,)."""
        return (self.taken - 1 >= 0.5).sum(-1)

    def refit(self, counts: Tensor) -> StickBreaking:
        counts = counts.double()
        later = counts.flip(-1).cumsum(-1).flip(-1) - counts
        return StickBreaking(1 + counts, self.prior + later, self.prior)

    def pick(self, mixtures: Tensor) -> StickBreaking:
        return StickBreaking(self.taken[mixtures], self.left[mixtures], self.prior)


def _positive(prior: float) -> float:
    if not prior > 0:
        raise ValueError(f"the concentration of the weights' prior must be above zero, not {prior}")
    return prior
