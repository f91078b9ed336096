"""What the plain autoencoders share: a point for a posterior, and a density of its codes to sample from."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from lowerbound.core import (
    Batch,
    CodeDensity,
    Conditional,
    Exact,
    Latent,
    Objective,
    OneLayer,
    Pathwise,
    Probed,
    SquaredJacobian,
    Trace,
)
from lowerbound.core.contraction import Function
from lowerbound.mixtures.blocks import InMemory
from lowerbound.mixtures.em import begin, fit
from lowerbound.mixtures.gaussian import Full
from lowerbound.recipes.parts import Ends
from lowerbound.recipes.registry import Setup

FITTED_ROWS = 20_000
"""At most this many codes are looked at; a mixture of a few Gaussians has no use for more."""

WIDEST_EXACT = 8
"""A Jacobian is measured exactly along this many directions; along more, it costs more than the rest of a step."""


def autoencoder(ends: Ends, posterior: Conditional, objective: Objective, latent: int, components: int) -> Setup:
    """A model of a point posterior over `latent` numbers; after training, `components` Gaussians are fitted to them."""
    density = CodeDensity(components, latent)
    model = Latent(density, posterior, ends.likelihood, ends.reads)

    def settle(rows: Callable[[], Iterator[Batch]]) -> None:
        fit_density(density, torch.cat([model.infer(batch).mean for batch in rows()]))

    return Setup(model, ends.views, objective, Pathwise(), start=ends.start, settle=settle)


@torch.no_grad()
def fit_density(density: CodeDensity, codes: Tensor) -> None:
    """Fit a density to codes (N, width) by EM; with fewer codes than components, some components stay unused.

    >>> density = CodeDensity(components=2, width=3)
    >>> fit_density(density, 5 + torch.randn(500, 3))
    >>> bool((density().mean - 5).abs().max() < 0.3)
    True
    """
    spread = torch.linspace(0, len(codes) - 1, min(len(codes), FITTED_ROWS)).long()
    rows = InMemory(codes[spread].double())
    found = fit(begin(Full(), rows, min(len(density.logits), len(spread))), rows).mixture
    kept = found.components.tensors()
    density.become(found.weights.mean[0], kept["loc"][0], kept["covariance"][0])


def codes(trace: Trace) -> Tensor:
    """The code of each datum, (B, latent)."""
    return trace.named_z["z"][0]


def squared_jacobian(f: Function, directions: int, probes: int | None) -> SquaredJacobian:
    """‖∂f‖²_F along random `probes`, exactly for 0; for None whichever is cheap along so many directions.

    >>> type(squared_jacobian(abs, directions=32, probes=None)).__name__
    'Probed'
    """
    if probes is None:
        probes = 0 if directions <= WIDEST_EXACT else 1
    return Probed(f, probes) if probes else Exact(f)


def sensitivity(encoder: nn.Module, activation: nn.Module, latent: int, probes: int | None) -> SquaredJacobian:
    """‖∂h/∂x‖²_F of h = activation(encoder(x)): in closed form where the encoder is one layer, else as measured."""
    layers = [module for module in encoder.modules() if not list(module.children())]
    if len(layers) == 1 and isinstance(layers[0], nn.Linear):
        return OneLayer(layers[0], activation)
    return squared_jacobian(nn.Sequential(encoder, activation), latent, probes)
