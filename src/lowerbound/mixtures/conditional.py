"""What a fitted mixture says of the gaps in a row, given the rest of it: p(x_mis | x_obs), exactly.

    p(x_mis | x_obs) = Σ_k r_k(x_obs) p_k(x_mis | x_obs)

is itself a mixture, of the same families, with the responsibilities for what is observed as its weights.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from lowerbound.mixtures.components import Components
from lowerbound.mixtures.mixture import Mixture

CHUNK_VALUES = 2**20
"""Values, of every entry under every component, that are worked out at once, about."""


class Conditional(NamedTuple):
    """mean and variance (N, K, D) of each entry given the observed of its row; of those, themselves and 0."""

    mean: Tensor
    variance: Tensor


class Gaussians(Components):
    """Components under which what is missing is Gaussian, given the rest of the row."""

    @abstractmethod
    def conditional(self, rows: Tensor) -> Conditional:
        """Mean and variance of each entry of rows (N, D) under each component of the first mixture; float64."""

    def filled(self, rows: Tensor, responsibilities: Tensor) -> Tensor:
        return torch.einsum("nk,nkd->nd", responsibilities.double(), self.conditional(rows).mean)


def imputed(mixture: Mixture, rows: Tensor) -> Tensor:
    """E[x_mis | x_obs] in place of NaN (the likeliest, of values without order), observed entries as they are; (N, D).

    >>> from lowerbound.mixtures.gaussian import FullGaussians
    >>> from lowerbound.mixtures.weights import Proportions
    >>> covariance = torch.tensor([[[[1.0, 0.8], [0.8, 1.0]]]], dtype=torch.float64)
    >>> zero = torch.zeros(1, 1, 2, dtype=torch.float64)
    >>> one = Mixture(Proportions.even(1, 1), FullGaussians(zero, covariance, zero[0, 0]))
    >>> imputed(one, torch.tensor([[2.0, torch.nan]]))
    tensor([[2.0000, 1.6000]])
    """
    parts = [_guess(mixture, part) for part in _parts(mixture, rows)]
    return torch.where(rows.isnan(), torch.cat(parts).to(rows), rows)


def drawn(mixture: Mixture, rows: Tensor, count: int) -> Tensor:
    """Draws of p(x_mis | x_obs) in place of NaN, by torch's generator: `count` completions of the rows, (count, N, D).

    For each a component is drawn, then the gaps given it: whole rows, whose entries belong together.

    >>> from lowerbound.mixtures.blocks import InMemory
    >>> from lowerbound.mixtures.em import begin
    >>> from lowerbound.mixtures.gaussian import Full
    >>> mixture = begin(Full(), InMemory(torch.randn(100, 2)), 2)
    >>> drawn(mixture, torch.tensor([[1.0, torch.nan]]), 5)[..., 0].flatten()
    tensor([1., 1., 1., 1., 1.])
    """
    which = torch.multinomial(_shares(mixture, rows), count, replacement=True).T.flatten()
    parts = zip(_parts(mixture, rows.repeat(count, 1)), which.split(_length(mixture, rows)))
    found = torch.cat([mixture.components.draw(*part) for part in parts]).to(rows)
    return torch.where(rows.isnan(), found.unflatten(0, (count, len(rows))), rows)


def log_conditional(mixture: Mixture, rows: Tensor, shown: Tensor) -> Tensor:
    """log p(those that are not shown | those that are), (N,) nats; shown (N, D) says which entries of the rows are.

    It is log p(x) − log p(x_shown), the score of held-out entries. Rows may have gaps of their own.

    >>> from lowerbound.mixtures.blocks import InMemory
    >>> from lowerbound.mixtures.em import begin
    >>> from lowerbound.mixtures.gaussian import Full
    >>> mixture = begin(Full(), InMemory(torch.randn(100, 2)), 2)
    >>> log_conditional(mixture, torch.zeros(1, 2), torch.tensor([True, True]))
    tensor([0.])
    """
    some = torch.where(shown, rows, torch.nan)
    return mixture.log_prob(rows)[0] - mixture.log_prob(some)[0]


def variances(mixture: Mixture, rows: Tensor) -> Tensor:
    """Var[x_mis | x_obs] of each missing entry and 0 for the others, (N, D); for Gaussian components.

    Within and between the components: Σ_k r_k (v_k + m_k²) − (Σ_k r_k m_k)².

    >>> from lowerbound.mixtures.blocks import InMemory
    >>> from lowerbound.mixtures.em import begin
    >>> from lowerbound.mixtures.gaussian import Full
    >>> mixture = begin(Full(), InMemory(torch.randn(100, 2)), 2)
    >>> variances(mixture, torch.tensor([[1.0, torch.nan]])) > 0
    tensor([[False,  True]])
    """
    return torch.cat([_variance(mixture, part) for part in _parts(mixture, rows)]).to(rows)


def quantiles(mixture: Mixture, rows: Tensor, probability: float) -> Tensor:
    """The quantile of each missing entry given what is observed, the others as they are, (N, D); Gaussian components.

    By bisection between the least and the greatest of the components' own quantiles, which it lies between.

    >>> from lowerbound.mixtures.blocks import InMemory
    >>> from lowerbound.mixtures.em import begin
    >>> from lowerbound.mixtures.gaussian import Full
    >>> mixture, row = begin(Full(), InMemory(torch.randn(100, 2)), 2), torch.tensor([[1.0, torch.nan]])
    >>> quantiles(mixture, row, 0.1) < quantiles(mixture, row, 0.9)
    tensor([[False,  True]])
    """
    return torch.cat([_quantile(mixture, part, probability) for part in _parts(mixture, rows)]).to(rows)


def gaussian(mixture: Mixture) -> Gaussians:
    """The mixture's components, if they are Gaussian.

    Raises:
        TypeError: they are of another family.
    """
    if not isinstance(mixture.components, Gaussians):
        raise TypeError(f"{type(mixture.components).__name__} are not Gaussian; use draws (conditional.drawn) instead")
    return mixture.components


def _parts(mixture: Mixture, rows: Tensor) -> tuple[Tensor, ...]:
    return rows.split(_length(mixture, rows))


def _length(mixture: Mixture, rows: Tensor) -> int:
    return max(1, CHUNK_VALUES // (mixture.shape[1] * rows.shape[1]))


def _shares(mixture: Mixture, rows: Tensor) -> Tensor:
    return mixture.shares(rows).responsibilities[0]


def _guess(mixture: Mixture, rows: Tensor) -> Tensor:
    return mixture.components.filled(rows, _shares(mixture, rows))


def _variance(mixture: Mixture, rows: Tensor) -> Tensor:
    mean, variance = gaussian(mixture).conditional(rows)
    shares = _shares(mixture, rows).double()[:, :, None]
    between = mean - (shares * mean).sum(1, keepdim=True)
    return torch.where(rows.isnan(), (shares * (variance + between.square())).sum(1), 0)


def _quantile(mixture: Mixture, rows: Tensor, probability: float) -> Tensor:
    mean, variance = gaussian(mixture).conditional(rows)
    shares, scale = _shares(mixture, rows).double()[:, :, None], variance.sqrt()
    own = mean + scale * torch.special.ndtri(mean.new_tensor(probability))
    low, high = own.amin(1), own.amax(1)
    for _ in range(60):
        middle = (low + high) / 2
        below = (shares * torch.special.ndtr((middle[:, None] - mean) / scale)).sum(1) < probability
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return torch.where(rows.isnan(), (low + high) / 2, rows)
