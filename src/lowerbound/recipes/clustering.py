"""What recipes share that cluster: codes of an autoencoder first, a mixture fitted to them, and then the bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, NamedTuple, Protocol, final

import torch
from torch import Tensor, nn

from lowerbound.core import Batch, Distortion, Gaussian, Model, Occupancy, Pathwise, Rate, Since
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

CERTAIN = 10.0
"""Minus log σ² of the codes of an autoencoder, about: noise far below their spread."""

PATIENT = Until(tolerance=1e-4, steps=200)
"""Clusters that touch come apart slowly."""


class Mixture(NamedTuple):
    """Σ_k π_k N(μ_k, σ_k²): weights (C,), means and variances (C, D)."""

    weights: Tensor
    means: Tensor
    variances: Tensor


class Startable(Protocol):
    """A prior that can be told which mixture to begin as."""

    def start_at(self, weights: Tensor, means: Tensor, variances: Tensor) -> None:
        """Become the mixture with these weights (C,), means and variances (C, D)."""


@final
class Denoising(nn.Module):
    """A network that in training is shown its input with a share of the values at zero, until it is told to see.

    Pascal Vincent et al., "Stacked denoising autoencoders", 2010.
    """

    share: Tensor

    def __init__(self, network: nn.Module, share: float) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("share", torch.tensor(share))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.network(x.masked_fill(torch.rand_like(x) < self.share, 0) if self.training else x)
        return found

    def see(self) -> None:
        """Hide nothing from now on; this is kept with the weights."""
        self.share.zero_()


@final
class Narrowed(nn.Module):
    """(μ, log σ²), (..., D, 2), with σ² made e^-10 times smaller; a network undoes it where there is cause.

    >>> Narrowed()(torch.zeros(1, 2))
    tensor([[  0., -10.]])
    """

    def forward(self, h: Tensor) -> Tensor:
        return torch.stack([h[..., 0], h[..., 1] - CERTAIN], -1)


def posterior(encoder: nn.Module, latent: int) -> Gaussian:
    """A factorised Gaussian from a network that gives 2·latent numbers, whose σ begins near nothing.

    While the rate costs nothing, σ has no reason to rise, and the model is an autoencoder.
    """
    return Gaussian(nn.Sequential(encoder, nn.Unflatten(-1, (latent, 2)), Narrowed()))


@final
@dataclass(frozen=True)
class WayIn:
    """How a model comes by its clusters.

    ahead: share of training spent as an autoencoder. masked: share of values that its encoder does not see meanwhile.
    restarts: fits of the mixture, of which the likeliest is taken. rise: share of training over which the rate then
    gets its weight.
    """

    ahead: float
    masked: float
    restarts: int
    rise: float

    def setup(self, model: Model, encoder: Denoising, ends: Ends, prior: Startable, components: int) -> Setup:
        """The setup of a model whose first latent has this prior, and a posterior with this encoder.

        The mixture is fitted to draws of q(z|x), for that is what the bound asks of a prior.
        """
        weight = Since()

        def meet(rows: Callable[[int], Batch], step: int, steps: int) -> None:
            prior.start_at(*fitted(codes(model, rows(FITTED_ROWS)), components, self.restarts))
            encoder.see()
            weight.begin(step, over=round(self.rise * steps))

        return Setup(
            model,
            ends.views,
            Distortion() + weight * Rate(),
            Pathwise(),
            start=ends.start,
            meet={self.ahead: meet},
            meters=lambda: (Occupancy(),),
        )


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
