"""A mixture of Gaussians in one call."""

from __future__ import annotations

import torch
from torch import Tensor

from lowerbound.mixtures.blocks import InMemory
from lowerbound.mixtures.em import Fit, Until, begin, fit
from lowerbound.mixtures.gaussian import COVARIANCES, FLOOR
from lowerbound.mixtures.starts import KMeans, Start


def gaussian_mixture(
    x: Tensor,
    components: int,
    covariance: str = "full",
    *,
    restarts: int = 1,
    weights: Tensor | None = None,
    start: Start = KMeans(),  # noqa: B008
    until: Until = Until(),  # noqa: B008
    seed: int = 0,
    floor: float = FLOOR,
) -> Fit:
    """Fit p(x) = Σ_k π_k N(x; μ_k, Σ_k) to rows (N, D) by EM, and keep the likeliest of so many restarts.

    x may hold NaN for what is missing; work is done in its precision, or in double where that would not do. covariance:
    full, tied, diag or spherical; weights (N,): how many rows each counts for; floor: added to each variance. To go on
    from what was found, with other rows as well: `fit(found.mixture, InMemory(x))`.

    >>> x = torch.randn(500, 2) + 4 * torch.arange(500)[:, None].remainder(2)
    >>> found = gaussian_mixture(x, 2, restarts=3)
    >>> found.converged, found.mixture.log_prob(x).shape
    (True, torch.Size([1, 500]))

    Raises:
        ValueError: an unknown covariance, or a column that never varies while there is no floor.
    """
    if covariance not in COVARIANCES:
        raise ValueError(f"there is no covariance {covariance!r}; choose from: {', '.join(COVARIANCES)}")
    blocks, generator = InMemory(x, weights), torch.Generator().manual_seed(seed)
    return fit(begin(COVARIANCES[covariance](floor), blocks, components, restarts, start, generator), blocks, until)
