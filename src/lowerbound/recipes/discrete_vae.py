"""The variational autoencoder with discrete latents."""

from __future__ import annotations

from lowerbound.arguments import Count
from lowerbound.core import Latent
from lowerbound.data.spec import DataSpec
from lowerbound.nets import SUGGESTED_HIDDEN, decoder, encoder
from lowerbound.recipes import parts
from lowerbound.recipes.discrete import BoundName, EstimatorName, Finite, PriorName, Temperature, chosen, objective
from lowerbound.recipes.registry import Setup, recipe


@recipe("discrete-vae")
def discrete_vae(
    spec: DataSpec,
    *,
    latent: Count = 200,
    classes: Count = 2,
    prior: PriorName = "uniform",
    net: parts.NetName = "mlp",
    hidden: parts.Widths = None,
    activation: str = "silu",
    likelihood: parts.LikelihoodName = "auto",
    bound: BoundName = "elbo",
    estimator: EstimatorName = "rloo",
    particles: Count = 2,
    temperature: Temperature = 0.5,
) -> Setup:
    """Variational autoencoder with bits, or symbols of more classes, for latents, and a choice of gradient estimators.

    Choose it for codes that are discrete yet uncertain, or to compare estimators; vq-vae has certain ones, and a prior
    that knows how they hang together. Andriy Mnih and Karol Gregor, "Neural variational inference and learning in
    belief networks", 2014; with rloo, Wouter Kool et al., 2019; vimco, Andriy Mnih and Danilo J. Rezende, 2016; disarm,
    Zhe Dong et al., 2020; relax, Will Grathwohl et al., 2018; gumbel, Chris J. Maddison et al. and Eric Jang et al.,
    2017; straight-through, Yoshua Bengio et al., 2013.

    Args:
        latent: how many discrete latents.
        classes: values of each; 2 are bits, and more are one-hot vectors.
        prior: uniform holds all values equally likely; learned has a probability for each value of each latent.
        hidden: widths from the data's side to the latent's; none at all makes encoder and decoder one linear layer.
        bound: elbo has its KL in closed form, elbo-mc by Monte Carlo, which is less noisy with estimators that are not
            biased; iwae is the importance-weighted bound.
        estimator: how gradients reach the encoder; gumbel and the straight-through ones are biased.
        particles: draws of z for each datum and step.
        temperature: of gumbel and gumbel-straight-through; lower is less biased, and noisier.
    """
    latents, x = Finite(latent, classes), parts.only_variable(spec)
    widths, named = SUGGESTED_HIDDEN[net] if hidden is None else hidden, parts.likelihood_name(likelihood, x)
    inward = encoder(net, x.shape, latents.width, widths, activation)
    outward = decoder(net, latents.width, x.shape, parts.family(named).per_value(x), widths, activation)
    sides = parts.between(x, named, inward, latents.read(outward), outward.start_at)
    return Setup(
        Latent(latents.prior(prior), latents.posterior(inward), sides.likelihood, sides.reads),
        sides.views,
        objective(bound, estimator),
        chosen(estimator, bound, particles, latents, sides, temperature),
        particles,
        start=sides.start,
    )
