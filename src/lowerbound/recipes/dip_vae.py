"""The VAE whose codes are held uncorrelated."""

from __future__ import annotations

from typing import Literal

from lowerbound.arguments import Count, NonNegative
from lowerbound.core import AnalyticELBO, Diagonal, OffDiagonal, covariance_of_codes, covariance_of_means
from lowerbound.data.spec import DataSpec
from lowerbound.recipes import parts
from lowerbound.recipes.registry import Setup, recipe


@recipe("dip-vae")
def dip_vae(
    spec: DataSpec,
    *,
    latent: Count = 10,
    net: parts.NetName = "mlp",
    hidden: parts.Widths = None,
    activation: str = "silu",
    likelihood: parts.LikelihoodName = "auto",
    variant: Literal["i", "ii"] = "ii",
    off_diagonal: NonNegative = 10.0,
    diagonal: NonNegative = 10.0,
) -> Setup:
    """DIP-VAE: the covariance of the codes over the data is held to the identity.

    Choose it when dimensions are to be uncorrelated over the data and the rate is to keep its price. Abhishek Kumar,
    Prasanna Sattigeri and Avinash Balakrishnan, "Variational inference of disentangled latent concepts from unlabeled
    observations", 2018.

    Args:
        variant: i takes the covariance of the posterior means, ii that of the codes drawn.
        off_diagonal: weight of the squared covariances.
        diagonal: weight of the variances' squared distance from 1; for i the paper takes ten times off_diagonal.
    """
    covariance = covariance_of_means if variant == "i" else covariance_of_codes
    objective = AnalyticELBO() + off_diagonal * OffDiagonal(covariance) + diagonal * Diagonal(covariance)
    return parts.gaussian_vae(
        spec, latent, objective, net=net, hidden=hidden, activation=activation, likelihood=likelihood
    )
