"""The Gaussian mixture variational autoencoder: clusters of any shape."""

from __future__ import annotations

from lowerbound.arguments import Count
from lowerbound.core import Chain, Link, MixtureGiven, standard_normal
from lowerbound.data.spec import DataSpec
from lowerbound.nets import decoder
from lowerbound.recipes import parts
from lowerbound.recipes.clustering import Denoising, Share, WayIn, posterior
from lowerbound.recipes.deep_vae import gaussian
from lowerbound.recipes.registry import Setup, recipe


@recipe("gmvae")
def gmvae(
    spec: DataSpec,
    *,
    latent: Count = 10,
    within: Count = 5,
    net: parts.NetName = "mlp",
    hidden: parts.Widths = None,
    between: tuple[Count, ...] = (100,),
    activation: str = "silu",
    likelihood: parts.LikelihoodName = "auto",
    components: Count = 10,
    ahead: Share = 0.3,
    masked: Share = 0.5,
    restarts: Count = 20,
    rise: Share = 0.2,
) -> Setup:
    """Gaussian mixture VAE: a vae whose prior is a mixture of clusters that a second latent, w, bends into any shape.

    Choose it over vade where clusters are no Gaussians in the space of codes. p(w) p(z|w) p(x|z), where p(z|w) = Σ_k
    π_k N(z; μ_k(w), σ_k²(w)), the component summed out exactly; q(z|x) q(w|z), since w speaks of x through z alone. Nat
    Dilokthanakul et al., "Deep unsupervised clustering with Gaussian mixture variational autoencoders", 2016, whose
    q(w|x) reads x instead, and whose weights π are held equal.

    Args:
        within: dimensions of w, which says where within a cluster a datum is.
        between: widths of the perceptrons between z and w, from the side of z.
        components: how many clusters there are to be.
        ahead: share of training spent as an autoencoder, before the mixture is fitted to its codes.
        masked: share of the values that its encoder does not see meanwhile, and the decoder is to tell.
        restarts: fits of the mixture, of which the likeliest is taken.
        rise: share of training over which the weight of the rate then rises from 0.
    """
    ends = parts.ends(spec, 2 * latent, latent, net=net, hidden=hidden, activation=activation, likelihood=likelihood)
    encoder = Denoising(ends.encoder, masked)
    bending = decoder("mlp", within, (components, latent), 2, between, activation)
    prior = MixtureGiven(bending, components, latent)
    links = {
        "z": Link(prior, posterior(encoder, latent)),
        "w": Link(standard_normal(within), gaussian(latent, within, between, activation)),
    }
    model = Chain(links, ends.likelihood, ends.reads)
    return WayIn(ahead, masked, restarts, rise).setup(model, encoder, ends, prior, components)
