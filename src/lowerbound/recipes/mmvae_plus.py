"""The multimodal variational autoencoder whose variables have latents of their own besides."""

from __future__ import annotations

from typing import Literal

from lowerbound.arguments import Count, NonNegative
from lowerbound.core import IWAE, Pathwise, Private, Rate
from lowerbound.data.spec import DataSpec
from lowerbound.errors import InputError
from lowerbound.recipes import modalities, parts
from lowerbound.recipes.registry import Setup, recipe


@recipe("mmvae-plus")
def mmvae_plus(
    spec: DataSpec,
    *,
    latent: Count = 16,
    own: Count = 16,
    net: parts.NetName = "mlp",
    hidden: parts.Widths = None,
    activation: str = "silu",
    likelihood: parts.LikelihoodName = "auto",
    objective: Literal["elbo", "iwae"] = "elbo",
    particles: Count = 1,
    beta: NonNegative = 1.0,
    weights: modalities.Weights = "equal",
) -> Setup:
    """MMVAE+: several variables over a z that they share and a latent that is each one's own.

    Choose it where variables have little in common, so that z can keep to that and each variable's style has a place of
    its own. In training a variable is told from another through z and a stand-in for its own latent, drawn from a
    learned prior; what is then lowered bounds log p(x) only where that prior is the model's (see `core.Private`). What
    is measured is the model's own bound. Emanuele Palumbo, Imant Daunhawer and Julia E. Vogt, "MMVAE+: enhancing the
    generative quality of multimodal VAEs without compromises", 2023.

    Args:
        latent: dimensions of the z that all variables share.
        own: dimensions of the latent that each has besides.
        net: networks of pictures: a perceptron, or strided or residual convolutions; others get a perceptron.
        likelihood: p(x|z) of every variable; auto takes for each the one that fits its kind.
        objective: elbo is the mean of the log weights, iwae the log of the mean weight.
        particles: draws of z for each datum and step from each variable's encoder.
        beta: weight of the rate.
        weights: what each variable's likelihood counts for in training: the same, or by size the more the fewer values
            the variable has.
    """
    if objective == "iwae" and (beta, weights) != (1.0, "equal"):
        raise InputError("beta and weights weigh the parts of an ELBO, which the objective iwae has not; use elbo")
    width, chosen = latent + own, {"hidden": hidden, "activation": activation, "likelihood": likelihood}
    sides = modalities.sides(spec, 2 * width, width, net=net, **chosen)
    elbo = sides.distortion(weights) + (Rate() if beta == 1 else beta * Rate())
    return Setup(
        Private(sides.encoders(width), sides.likelihood, latent, own, sides.reads),
        sides.views,
        IWAE() if objective == "iwae" else elbo,
        Pathwise(),
        particles * len(spec.variables),
        start=sides.start,
    )
