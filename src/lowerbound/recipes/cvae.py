"""The conditional variational autoencoder."""

from __future__ import annotations

from typing import Annotated, Literal

from lowerbound.arguments import Count, NonNegative, NonNegativeInt
from lowerbound.core import Gaussian
from lowerbound.data.conditioning import Told
from lowerbound.data.spec import DataSpec
from lowerbound.nets.mlp import perceptron
from lowerbound.recipes import bounds, latents, parts
from lowerbound.recipes.registry import Setup, recipe

PriorName = Literal["learned", "normal"]

Drop = Annotated[float, (0.0, 0.99)]


@recipe("cvae")
def cvae(
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
    prior: PriorName = "learned",
    prior_hidden: parts.Widths = None,
    drop: Drop = 0.1,
) -> Setup:
    """Conditional variational autoencoder: log p(x|c) for a label, several, a vector, a text's or a picture as c.

    q(z|x,c), p(x|z,c) and the prior p(z|c) are all told c. Choose it to draw data of a kind you
    name, or to see what is left in z once c is known. Kihyuk Sohn, Honglak Lee and Xinchen Yan, "Learning structured
    output representation using deep conditional generative models", 2015; Diederik P. Kingma et al., "Semi-supervised
    learning with deep generative models", 2014.

    Args:
        bound: as of the recipe vae.
        estimator: as of the recipe vae.
        particles: draws of z for each datum and step.
        beta: weight of the rate.
        anneal: steps over which that weight rises from 0.
        free_bits: nats of each latent dimension that cost nothing to use.
        prior: learned is a Gaussian p(z|c) whose mean and scale a network gives; normal is N(0, I) whatever c is:
            samples are then less often what was asked for, but z is freer of c, so that a datum can be told otherwise
            with its z kept.
        prior_hidden: widths of that network, 200 where not given.
        drop: share of the training data whose c is withheld, so that the model serves without c too; 0 for never.
    """
    told = Told.by(spec, drop)
    return parts.gaussian_vae(
        spec,
        latent,
        bounds.objective(bound, beta, anneal, free_bits, particles),
        net=net,
        hidden=hidden,
        activation=activation,
        likelihood=likelihood,
        estimator=bounds.estimator(estimator, bound, particles),
        particles=particles,
        told=told,
        prior=_given(told.width, latent, prior_hidden, activation) if prior == "learned" else None,
    )


def _given(width: int, latent: int, hidden: parts.Widths, activation: str) -> Gaussian:
    """p(z|c), from c of so many numbers."""
    return latents.gaussian(perceptron(width, 2 * latent, hidden or (200,), activation), latent)
