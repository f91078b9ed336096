"""The variational autoencoder."""

from __future__ import annotations

from lowerbound.arguments import Count, NonNegative, NonNegativeInt
from lowerbound.data.spec import DataSpec
from lowerbound.recipes import bounds, parts
from lowerbound.recipes.registry import Setup, recipe


@recipe("vae")
def vae(
    spec: DataSpec,
    *,
    latent: Count = 50,
    net: parts.NetName = "mlp",
    hidden: parts.Widths = None,
    activation: str = "silu",
    likelihood: parts.LikelihoodName = "auto",
    bound: bounds.BoundName = "elbo",
    estimator: bounds.EstimatorName = "pathwise",
    particles: Count = 1,
    beta: NonNegative = 1.0,
    anneal: NonNegativeInt = 0,
    free_bits: NonNegative = 0.0,
) -> Setup:
    """Variational autoencoder: N(0, I) prior, Gaussian encoder, any likelihood.

    Choose it first: it encodes, samples and gives a bound on log p(x), and the others are measured against it. Diederik
    P. Kingma and Max Welling, "Auto-encoding variational Bayes", 2014; with the bound iwae, Yuri Burda, Roger Grosse
    and Ruslan Salakhutdinov, "Importance weighted autoencoders", 2016.

    Args:
        bound: elbo has its KL in closed form, elbo-mc by Monte Carlo; iwae is the importance-weighted bound.
        estimator: how gradients reach the encoder.
        particles: draws of z for each datum and step.
        beta: weight of the rate.
        anneal: steps over which that weight rises from 0.
        free_bits: nats of each latent dimension that cost nothing to use.
    """
    return parts.gaussian_vae(
        spec,
        latent,
        bounds.objective(bound, beta, anneal, free_bits),
        net=net,
        hidden=hidden,
        activation=activation,
        likelihood=likelihood,
        estimator=bounds.estimator(estimator, bound, particles),
        particles=particles,
    )
