"""The VAE whose total correlation a discriminator estimates."""

from __future__ import annotations

from lowerbound.arguments import Count, NonNegative
from lowerbound.core import AdversarialTotalCorrelation, AnalyticELBO
from lowerbound.data.spec import DataSpec
from lowerbound.nets import encoder
from lowerbound.recipes import parts
from lowerbound.recipes.registry import Setup, recipe


@recipe("factor-vae")
def factor_vae(
    spec: DataSpec,
    *,
    latent: Count = 10,
    net: parts.NetName = "mlp",
    hidden: parts.Widths = None,
    activation: str = "silu",
    likelihood: parts.LikelihoodName = "auto",
    gamma: NonNegative = 35.0,
    discriminator: tuple[Count, ...] = (256, 256, 256),
) -> Setup:
    """FactorVAE: the total correlation made dearer, as judged by a discriminator trained beside the model.

    Choose it where beta-tc-vae would serve but batches must be small. Model and discriminator share one optimiser and
    one step; the weights kept are those of the best plain bound. The discriminator of the paper has six layers of
    1,000; the default here is smaller. Hyunjik Kim and Andriy Mnih, "Disentangling by factorising", 2018.

    Args:
        gamma: weight of the total correlation, beside the one that it has in the rate.
        discriminator: widths of the discriminator's hidden layers.
    """
    judge = encoder("mlp", (latent,), 1, discriminator, "leaky-relu")
    objective = AnalyticELBO() + AdversarialTotalCorrelation(judge, gamma)
    return parts.gaussian_vae(
        spec, latent, objective, net=net, hidden=hidden, activation=activation, likelihood=likelihood
    )
