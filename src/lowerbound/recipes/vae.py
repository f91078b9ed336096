"""The variational autoencoder."""

from __future__ import annotations

from typing import Literal

from torch import nn

from lowerbound.arguments import Count, NonNegative, NonNegativeInt
from lowerbound.core import Gaussian, Latent, standard_normal
from lowerbound.data.spec import DataSpec
from lowerbound.data.views import view_for
from lowerbound.errors import InputError
from lowerbound.nets import SUGGESTED_HIDDEN, decoder, encoder
from lowerbound.recipes import parts
from lowerbound.recipes.registry import Setup, recipe


@recipe("vae")
def vae(
    spec: DataSpec,
    *,
    latent: Count = 50,
    net: Literal["mlp", "conv", "resnet"] = "mlp",
    hidden: tuple[Count, ...] | None = None,
    activation: str = "silu",
    likelihood: parts.LikelihoodName = "auto",
    bound: parts.BoundName = "elbo",
    estimator: parts.EstimatorName = "pathwise",
    particles: Count = 1,
    beta: NonNegative = 1.0,
    anneal: NonNegativeInt = 0,
    free_bits: NonNegative = 0.0,
) -> Setup:
    """Variational autoencoder: N(0, I) prior, Gaussian encoder, any likelihood.

    Diederik P. Kingma and Max Welling, "Auto-encoding variational Bayes", 2014; with the bound iwae, Yuri Burda,
    Roger Grosse and Ruslan Salakhutdinov, "Importance weighted autoencoders", 2016.

    Args:
        latent: dimensions of z.
        net: networks: a perceptron, or for pictures strided or residual convolutions.
        hidden: widths from the data's side to the latent's; each kind of network has its own default.
        activation: the networks' nonlinearity.
        likelihood: p(x|z); auto takes the one that fits the kind of data.
        bound: elbo has its KL in closed form, elbo-mc by Monte Carlo; iwae is the importance-weighted bound.
        estimator: how gradients reach the encoder.
        particles: draws of z for each datum and step.
        beta: weight of the rate.
        anneal: steps over which that weight rises from 0.
        free_bits: nats of each latent dimension that cost nothing to use.
    """
    if len(spec.variables) > 1:
        raise InputError(f"the recipe vae models one variable, and {spec.name!r} has {len(spec.variables)}")
    x = spec.variables[0]
    name, widths = parts.likelihood_name(likelihood, x), hidden or SUGGESTED_HIDDEN[net]
    family = parts.family(name)
    inward = nn.Sequential(encoder(net, x.shape, 2 * latent, widths, activation), nn.Unflatten(-1, (latent, 2)))
    outward = decoder(net, latent, x.shape, family.per_value(x), widths, activation)
    return Setup(
        Latent(standard_normal(latent), Gaussian(inward), {x.name: family.build(outward, x)}, parts.reads(x, name)),
        {x.name: view_for(x, name)},
        parts.objective(bound, beta, anneal, free_bits),
        parts.estimator(estimator, bound, particles),
        particles,
        start=lambda means: outward.start_at(family.start(means[x.name], x)),
    )
