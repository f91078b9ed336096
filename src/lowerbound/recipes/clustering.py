"""What recipes share that cluster: codes of an autoencoder first, a mixture fitted to them, and then the bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, NamedTuple, Protocol

import torch
from torch import Tensor

from lowerbound.core import Batch, Constant, Distortion, Model, Pathwise, Rate, Since, WarmUp
from lowerbound.core.latent import named
from lowerbound.mixtures.blocks import InMemory
from lowerbound.mixtures.em import Until, begin, fit
from lowerbound.mixtures.gaussian import Full, FullGaussians
from lowerbound.recipes.parts import Ends
from lowerbound.recipes.registry import Setup

Share = Annotated[float, (0.0, 0.99)]

FITTED_ROWS = 20_000
"""At most this many codes are looked at; a mixture of a few Gaussians has no use for more."""

ROWS_AT_ONCE = 4096

PATIENT = Until(tolerance=1e-4, steps=500)
"""Clusters that touch come apart slowly."""


class Mixture(NamedTuple):
    """Σ_k π_k N(μ_k, σ_k²): weights (C,), means and variances (C, D)."""

    weights: Tensor
    means: Tensor
    variances: Tensor


class MixturePrior(Protocol):
    """A prior that can be told which mixture to begin as."""

    def start_at(self, weights: Tensor, means: Tensor, variances: Tensor) -> None:
        """Become the mixture with these weights (C,), means and variances (C, D)."""


def clustering(
    model: Model, ends: Ends, prior: MixturePrior, components: int, ahead: float, anneal: int, restarts: int
) -> Setup:
    """The setup of a model whose latent "z" has a mixture for its prior.

    For the share `ahead` of training it is an autoencoder: its rate costs nothing. Then the mixture is fitted to draws
    of q(z|x), by which the bound can only rise, and the rate gets its weight, over `anneal` steps.
    """
    weight = Since(WarmUp(anneal) if anneal else Constant(1.0))

    def meet(rows: Callable[[int], Batch], step: int) -> None:
        prior.start_at(*fitted(codes(model, rows(FITTED_ROWS)), components, restarts))
        weight.begin(step)

    objective = Distortion() + weight * Rate()
    return Setup(model, ends.views, objective, Pathwise(), start=ends.start, meet={ahead: meet})


def codes(model: Model, batch: Batch) -> Tensor:
    """A draw of q(z|x) for each datum, (N, D)."""
    parts = (batch[start : start + ROWS_AT_ONCE] for start in range(0, batch.size, ROWS_AT_ONCE))
    return torch.cat([next(iter(named(model.infer(part)).values())).sample() for part in parts])


def fitted(codes: Tensor, components: int, restarts: int) -> Mixture:
    """The likeliest mixture of Gaussians found from so many starts, of codes (N, D); of covariances the diagonals.

    Fitted with covariances, because clusters of an autoencoder's codes lie askew, and cut by axes they would be split.
    """
    rows = InMemory(codes.double())
    found = fit(begin(Full(), rows, components, restarts), rows, PATIENT).mixture
    parts = found.components
    assert isinstance(parts, FullGaussians)
    return Mixture(found.weights.mean[0], parts.loc[0], parts.covariance[0].diagonal(dim1=-2, dim2=-1))
