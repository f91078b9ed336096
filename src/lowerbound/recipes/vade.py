"""Variational deep embedding: a variational autoencoder that clusters."""

from __future__ import annotations

from lowerbound.arguments import Count
from lowerbound.core import Latent, MixturePrior
from lowerbound.data.spec import DataSpec
from lowerbound.recipes import parts
from lowerbound.recipes.clustering import Denoising, Share, WayIn, posterior
from lowerbound.recipes.registry import Setup, recipe


@recipe("vade")
def vade(
    spec: DataSpec,
    *,
    latent: Count = 10,
    net: parts.NetName = "mlp",
    hidden: parts.Widths = None,
    activation: str = "silu",
    likelihood: parts.LikelihoodName = "auto",
    components: Count = 10,
    ahead: Share = 0.3,
    masked: Share = 0.5,
    restarts: Count = 20,
    rise: Share = 0.2,
) -> Setup:
    """Variational deep embedding: a vae whose prior is a mixture of Gaussians that are the clusters of the data.

    Choose it to find groups in data that have no labels, and to draw from each. The component is summed out exactly:
    log p(z) = log Σ_k π_k N(z; μ_k, σ_k²) is what the published bound comes to under its best q(k|x), the
    responsibilities p(k|z). Zhuxi Jiang, Yin Zheng, Huachun Tan, Bangsheng Tang and Hanning Zhou, "Variational deep
    embedding: an unsupervised and generative approach to clustering", 2017.

    Args:
        components: how many clusters there are to be.
        ahead: share of training spent as an autoencoder, before the mixture is fitted to its codes.
        masked: share of the values that its encoder does not see meanwhile, and the decoder is to tell.
        restarts: fits of the mixture, of which the likeliest is taken.
        rise: share of training over which the weight of the rate then rises from 0.
    """
    ends = parts.ends(spec, 2 * latent, latent, net=net, hidden=hidden, activation=activation, likelihood=likelihood)
    encoder = Denoising(ends.encoder, masked)
    prior = MixturePrior(components, latent)
    model = Latent(prior, posterior(encoder, latent), ends.likelihood, ends.reads)
    return WayIn(ahead, masked, restarts, rise).setup(model, encoder, ends, prior, components)
