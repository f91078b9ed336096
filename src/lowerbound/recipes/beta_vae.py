"""The β-VAE."""

from __future__ import annotations

from lowerbound.arguments import Count, NonNegative, NonNegativeInt
from lowerbound.core import BetaELBO, WarmUp
from lowerbound.data.spec import DataSpec
from lowerbound.recipes import parts
from lowerbound.recipes.registry import Setup, recipe


@recipe("beta-vae")
def beta_vae(
    spec: DataSpec,
    *,
    latent: Count = 10,
    net: parts.NetName = "mlp",
    hidden: parts.Widths = None,
    activation: str = "silu",
    likelihood: parts.LikelihoodName = "auto",
    beta: NonNegative = 4.0,
    anneal: NonNegativeInt = 0,
) -> Setup:
    """β-VAE: a dearer rate, under which the code keeps to few and independent dimensions.

    Choose it for few and independent dimensions at the price of blur or, with beta below 1, for sharper reconstructions
    at the price of samples. Irina Higgins et al., "beta-VAE: learning basic visual concepts with a constrained
    variational framework", 2017. For β under one see Alexander A. Alemi et al., "Fixing a broken ELBO", 2018.

    Args:
        beta: weight of the rate.
        anneal: steps over which that weight rises from 0.
    """
    objective = BetaELBO(WarmUp(anneal, beta) if anneal else beta)
    return parts.gaussian_vae(
        spec, latent, objective, net=net, hidden=hidden, activation=activation, likelihood=likelihood
    )
