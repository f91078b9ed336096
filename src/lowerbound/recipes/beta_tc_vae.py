"""The β-VAE with the total correlation alone made dearer."""

from __future__ import annotations

from lowerbound.arguments import Count, NonNegative
from lowerbound.core import AnalyticELBO, TotalCorrelation
from lowerbound.data.spec import DataSpec
from lowerbound.recipes import parts
from lowerbound.recipes.registry import Setup, recipe


@recipe("beta-tc-vae")
def beta_tc_vae(
    spec: DataSpec,
    *,
    latent: Count = 10,
    net: parts.NetName = "mlp",
    hidden: parts.Widths = None,
    activation: str = "silu",
    likelihood: parts.LikelihoodName = "auto",
    beta: NonNegative = 6.0,
) -> Setup:
    """β-TCVAE: of the rate only the total correlation, the dependence between dimensions, is made dearer.

    Choose it when each dimension is to speak of one factor and beta-vae blurs too much for it. The total correlation is
    estimated from each batch by stratified sampling, so take batches of 100 rows or more. Ricky T. Q. Chen, Xuechen Li,
    Roger Grosse and David Duvenaud, "Isolating sources of disentanglement in variational autoencoders", 2018.

    Args:
        beta: weight of the total correlation; 1 is the plain VAE.
    """
    objective = AnalyticELBO() + (beta - 1) * TotalCorrelation(spec.splits["train"])
    return parts.gaussian_vae(
        spec, latent, objective, net=net, hidden=hidden, activation=activation, likelihood=likelihood
    )
