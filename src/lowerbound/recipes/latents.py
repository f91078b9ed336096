"""Priors and posteriors of a vector z by name, and which of them go together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound.core import (
    Batch,
    Conditional,
    FlowPosterior,
    FlowPrior,
    FullGaussian,
    Gaussian,
    LowRankGaussian,
    MixturePrior,
    VampPrior,
    standard_normal,
)
from lowerbound.core.gaussians import full_width
from lowerbound.errors import InputError
from lowerbound.nets.invertible import FlowName, invertible
from lowerbound.nets.shaped import Shaped
from lowerbound.recipes.registry import Meeting

PriorName = Literal["normal", "mixture", "vamp", "maf", "realnvp", "spline"]
PosteriorName = Literal["diagonal", "full", "low-rank", "iaf", "realnvp", "spline"]

RANK = 4
"""Directions that the dimensions of a posterior of low rank share, where there are as many."""


@final
@dataclass(frozen=True)
class Latents:
    """What z is like before and after the data are seen.

    components: of a mixture, or pseudo-inputs. transforms: of each flow.
    """

    prior: PriorName = "normal"
    posterior: PosteriorName = "diagonal"
    components: int = 100
    transforms: int = 4

    def __post_init__(self) -> None:
        if self.prior == "vamp" and self.posterior in _FLOWS:
            raise InputError(
                f"the prior vamp asks for the posterior's density at every pseudo-input, which takes {self.posterior} "
                "far too long; use a posterior diagonal, full or low-rank, or the prior realnvp"
            )

    def width(self, latent: int) -> int:
        """How many numbers the posterior needs of its network."""
        widths = {"diagonal": 2 * latent, "full": full_width(latent), "low-rank": (2 + _rank(latent)) * latent}
        return widths.get(self.posterior, 3 * latent)

    def after(self, network: nn.Module, latent: int) -> Conditional:
        """The posterior, of a network that gives `width` numbers."""
        if self.posterior in _FLOWS:
            flow = invertible(_FLOWS[self.posterior], latent, latent, self.transforms)
            return FlowPosterior(network, flow, latent, latent)
        return _GAUSSIANS[self.posterior](network, latent)

    def before(self, latent: int, posterior: Conditional, shape: tuple[int, ...]) -> Conditional:
        """The prior; beside that posterior of data of this shape."""
        if self.prior in _FLOWS:
            return FlowPrior(invertible(_FLOWS[self.prior], latent, 0, self.transforms), latent)
        if self.prior == "vamp":
            return VampPrior(posterior, self.components, shape)
        return MixturePrior(self.components, latent) if self.prior == "mixture" else standard_normal(latent)


def chosen(prior: PriorName, posterior: PosteriorName, components: int, transforms: int, free_bits: float) -> Latents:
    """Prior and posterior by name, refused where they or free bits do not go together."""
    if free_bits and (prior, posterior) != ("normal", "diagonal"):
        raise InputError(
            "free_bits charges each dimension of z by itself, which only prior normal and posterior diagonal allow; "
            "use anneal against an early collapse"
        )
    return Latents(prior, posterior, components, transforms)


PLAIN = Latents()
"""N(0, I) before, a factorised Gaussian after."""


def gaussian(network: nn.Module, latent: int) -> Gaussian:
    """A factorised Gaussian posterior from a network that gives 2·latent numbers."""
    return Gaussian(Shaped(network, (latent, 2)))


@final
class Nothing(Conditional):
    """A distribution over vectors of no dimensions, one for each row of the first given."""

    def forward(self, *given: object) -> Distribution:
        x = given[0]
        assert isinstance(x, Tensor)
        return standard_normal(0).to(x.device, torch.get_default_dtype())().expand((len(x),))


def meetings(prior: Conditional, reads: Callable[[Batch], tuple[Any, ...]]) -> dict[float, Meeting]:
    """Pseudo-inputs begin as data, as an encoder reads them; other priors need none."""
    if not isinstance(prior, VampPrior):
        return {}
    return {0.0: lambda rows, step, steps: prior.start_at(reads(rows(len(prior.inputs)))[0])}


def _rank(latent: int) -> int:
    return min(RANK, latent)


_FLOWS: dict[str, FlowName] = {
    "iaf": "autoregressive",
    "maf": "autoregressive",
    "realnvp": "coupling",
    "spline": "spline",
}

_GAUSSIANS: dict[str, Callable[[nn.Module, int], Conditional]] = {
    "diagonal": gaussian,
    "full": FullGaussian,
    "low-rank": lambda network, latent: LowRankGaussian(network, latent, _rank(latent)),
}
