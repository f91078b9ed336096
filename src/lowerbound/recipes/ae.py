"""The plain autoencoder."""

from __future__ import annotations

from lowerbound.arguments import Count
from lowerbound.core import Distortion, Point
from lowerbound.data.spec import DataSpec
from lowerbound.recipes import parts
from lowerbound.recipes.autoencoding import autoencoder
from lowerbound.recipes.registry import Setup, recipe


@recipe("ae")
def ae(
    spec: DataSpec,
    *,
    latent: Count = 32,
    net: parts.NetName = "mlp",
    hidden: parts.Widths = None,
    activation: str = "silu",
    likelihood: parts.LikelihoodName = "auto",
    components: Count = 10,
) -> Setup:
    """Autoencoder: a code for each datum and no price on it; the likelihood mse makes its loss the squared error.

    Choose it for codes and reconstructions alone, and as the measure of what other prices on a code cost. Geoffrey E.
    Hinton and Ruslan R. Salakhutdinov, "Reducing the dimensionality of data with neural networks", 2006.
    """
    ends = parts.ends(spec, latent, latent, net=net, hidden=hidden, activation=activation, likelihood=likelihood)
    return autoencoder(ends, Point(ends.encoder), Distortion(), latent, components)
