"""What a mixture is made of: families of densities that are fitted by their expected sufficient statistics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Self

from torch import Tensor

Statistics = Mapping[str, Tensor]
"""Sums over rows by name, (R, K, ...) each, or (R, 1, ...) where the components of a mixture share one; float64."""


class Explanation(ABC):
    """What R × K components make of N rows; what the E-step works out is kept for the M-step."""

    @property
    @abstractmethod
    def log_prob(self) -> Tensor:
        """log p_k(x), or E log p_k(x) under a posterior of the parameters; (R, N, K) nats."""

    @abstractmethod
    def statistics(self, responsibilities: Tensor) -> dict[str, Tensor]:
        """Σ_n r_nk E[T(x_n)], of responsibilities (R, N, K) that the rows' weights are in; float64.

        The expectation is over what of a row is missing or hidden, given the rest of it and the component.
        """


class Components(ABC):
    """R × K densities of one family: K components of each of R mixtures that are fitted side by side.

    A value: fitting makes another. Parameters are float64, whatever the rows are; rows decide what precision the work
    is done in. A family that can be fitted to rows with entries missing takes NaN for them.
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """(R, K)."""

    @property
    @abstractmethod
    def sound(self) -> Tensor:
        """Which components have a density, (R, K); one whose covariance is singular has none."""

    @property
    @abstractmethod
    def penalty(self) -> Tensor:
        """What is added to the log-likelihood of all rows for the bound that EM climbs, (R,): minus a KL, or 0."""

    @property
    @abstractmethod
    def free(self) -> int:
        """Free parameters of the K components, for the information criteria."""

    @abstractmethod
    def explain(self, rows: Tensor) -> Explanation:
        """How the components explain rows (N, D)."""

    @abstractmethod
    def refit(self, counts: Tensor, statistics: Statistics) -> Self:
        """The M-step: the components that these statistics make likeliest; counts (R, K) = Σ_n r_nk."""

    @abstractmethod
    def pick(self, mixtures: Tensor) -> Self:
        """The components of some of the R mixtures, by number or by a mask."""

    @abstractmethod
    def sample(self, which: Tensor) -> Tensor:
        """A row of component which[i] of the first mixture for each i; (N, D)."""

    @abstractmethod
    def filled(self, rows: Tensor, responsibilities: Tensor) -> Tensor:
        """Rows (N, D) with their gaps filled by what the first mixture expects there, given what is observed.

        Σ_k r_nk E_k[x_mis | x_obs] with responsibilities (N, K); of values that have no order, the likeliest.
        """

    @abstractmethod
    def draw(self, rows: Tensor, which: Tensor) -> Tensor:
        """Rows (N, D) with their gaps filled by a draw of p_k(x_mis | x_obs), k = which[i], of the first mixture."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """The parameters by name, to be kept in a file."""


class Family(ABC):
    """A kind of component, before it has met any data."""

    @abstractmethod
    def pooled(self, rows: Tensor, restarts: int, components: int) -> Components:
        """R × K components that are all fitted to all of these rows; where EM's first M-step starts from."""
