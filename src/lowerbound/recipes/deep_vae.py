"""The variational autoencoder with several layers of latents."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from torch import nn

from lowerbound.arguments import Count
from lowerbound.core import Chain, Gaussian, LayerRates, Link, standard_normal
from lowerbound.data.spec import DataSpec
from lowerbound.errors import InputError
from lowerbound.nets import decoder
from lowerbound.recipes import bounds, parts
from lowerbound.recipes.registry import Setup, recipe


@recipe("deep-vae")
def deep_vae(
    spec: DataSpec,
    *,
    latents: tuple[Count, ...] = (100, 50),
    net: parts.NetName = "mlp",
    hidden: parts.Widths = None,
    between: tuple[Count, ...] = (100, 100),
    activation: str = "tanh",
    likelihood: parts.LikelihoodName = "auto",
    bound: Literal["elbo-mc", "iwae"] = "iwae",
    estimator: Literal["pathwise", "stl", "dreg", "gdreg", "score"] = "dreg",
    particles: Count = 5,
) -> Setup:
    """Variational autoencoder with a chain of latents: each layer's prior is learned, given the layer above.

    Choose it to measure against the two-layer models of the literature, or for codes of codes: what each layer says of
    the one below is at hand by itself. Yuri Burda, Roger Grosse and Ruslan Salakhutdinov, "Importance weighted
    autoencoders", 2016.

    Args:
        latents: dimensions of z of each layer, the data's side first.
        between: widths of the perceptrons from one layer of z to the next, from the lower side.
        bound: iwae is the importance-weighted bound, elbo-mc the evidence lower bound; no KL here has a closed form.
        estimator: how gradients reach the encoders, and with gdreg the priors between layers.
        particles: draws of z for each datum and step.
    """
    if len(latents) < 2:
        raise InputError(f"latents {latents} are one layer of z; use the recipe vae, or give two widths or more")
    first, top = latents[0], latents[-1]
    sides = parts.ends(spec, 2 * first, first, net=net, hidden=hidden, activation=activation, likelihood=likelihood)
    lowest = Gaussian(nn.Sequential(sides.encoder, nn.Unflatten(-1, (first, 2))))
    upwards = (gaussian(low, high, between, activation) for low, high in pairwise(latents))
    downwards = (gaussian(high, low, between[::-1], activation) for low, high in pairwise(latents))
    links = zip((*downwards, standard_normal(top)), (lowest, *upwards))
    return Setup(
        Chain({f"z{number}": Link(*pair) for number, pair in enumerate(links, 1)}, sides.likelihood, sides.reads),
        sides.views,
        bounds.objective(bound, particles=particles),
        bounds.estimator(estimator, bound, particles),
        particles,
        start=sides.start,
        meters=lambda: (LayerRates(),),
    )


def gaussian(given: int, width: int, hidden: tuple[int, ...], activation: str) -> Gaussian:
    """A factorised Gaussian over a z of this width, from another z, by a perceptron with these hidden widths."""
    return Gaussian(decoder("mlp", given, (width,), 2, hidden[::-1], activation))
