"""The VAE that keeps information: the codes together, not each alone, are held to the prior."""

from __future__ import annotations

import math
from typing import Annotated

from lowerbound.arguments import Count, NonNegative
from lowerbound.core import MMD, Distortion, Rate
from lowerbound.data.spec import DataSpec
from lowerbound.errors import InputError
from lowerbound.recipes import parts
from lowerbound.recipes.registry import Setup, recipe


@recipe("info-vae")
def info_vae(
    spec: DataSpec,
    *,
    latent: Count = 10,
    net: parts.NetName = "mlp",
    hidden: parts.Widths = None,
    activation: str = "silu",
    likelihood: parts.LikelihoodName = "auto",
    alpha: Annotated[float, (-math.inf, 1.0)] = 1.0,
    scale: NonNegative = 1000.0,
) -> Setup:
    """InfoVAE: the aggregate of the codes is matched to the prior by maximum mean discrepancy.

    Choose it when the code is to say much of its datum and all codes together are still to match the prior. distortion
    + (1 − alpha)·rate + (alpha + scale − 1)·MMD². At alpha = 1, the MMD-VAE, nothing is charged for what a code says of
    its datum, so the codes' noise shrinks and the bound on log p(x) is loose. Shengjia Zhao, Jiaming Song and Stefano
    Ermon, "InfoVAE: balancing learning and inference in variational autoencoders", 2019.

    Args:
        alpha: share of the rate's information term that is left out; 0 keeps it, 1 drops it and the rate with it.
        scale: weight of the match between codes and prior, lambda in the paper; best of the order of the distortion.
    """
    if alpha + scale < 1:
        raise InputError(f"alpha {alpha:g} and scale {scale:g} would reward codes unlike the prior; raise scale")
    objective = Distortion() + (1 - alpha) * Rate() + (alpha + scale - 1) * MMD()
    return parts.gaussian_vae(
        spec, latent, objective, net=net, hidden=hidden, activation=activation, likelihood=likelihood
    )
