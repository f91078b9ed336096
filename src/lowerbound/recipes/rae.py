"""The regularised autoencoder."""

from __future__ import annotations

from typing import Literal

from lowerbound.arguments import Count, NonNegative, NonNegativeInt
from lowerbound.core import Contractive, Distortion, Point, SquaredCode, SquaredWeights
from lowerbound.data.spec import DataSpec
from lowerbound.recipes import parts
from lowerbound.recipes.autoencoding import autoencoder, codes, squared_jacobian
from lowerbound.recipes.registry import Setup, recipe


@recipe("rae")
def rae(
    spec: DataSpec,
    *,
    latent: Count = 32,
    net: parts.NetName = "mlp",
    hidden: parts.Widths = None,
    activation: str = "silu",
    likelihood: parts.LikelihoodName = "auto",
    regulariser: Literal["l2", "gradient"] = "l2",
    weight: NonNegative = 1e-3,
    code: NonNegative = 0.05,
    probes: NonNegativeInt | None = None,
    components: Count = 10,
) -> Setup:
    """Regularised autoencoder: small codes, a smooth decoder, and a density fitted to the codes to sample from.

    Choose it for samples and smooth codes where no log p(x) is asked for. Partha Ghosh, Mehdi S. M. Sajjadi, Antonio
    Vergari, Michael Black and Bernhard Schölkopf, "From variational to deterministic autoencoders", 2020.

    Args:
        regulariser: of the decoder: l2 is its squared weights, gradient the squared Jacobian of what it gives.
        weight: what the regulariser counts for, in nats.
        code: what half the code's squared length counts for, in nats.
        probes: random directions in which that Jacobian is measured, 0 for all; by default one where the code is wide.
    """
    ends = parts.ends(spec, latent, latent, net=net, hidden=hidden, activation=activation, likelihood=likelihood)
    jacobian = squared_jacobian(ends.decoder, latent, probes)
    smooth = SquaredWeights(ends.decoder) if regulariser == "l2" else Contractive(jacobian, at=codes)
    objective = Distortion() + weight * smooth + code * SquaredCode()
    return autoencoder(ends, Point(ends.encoder), objective, latent, components)
