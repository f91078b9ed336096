"""The semi-amortised variational autoencoder."""

from __future__ import annotations

from lowerbound.arguments import Count, NonNegative, NonNegativeInt
from lowerbound.core import Climb, Latent, NaturalClimb, SemiAmortised, standard_normal
from lowerbound.data.spec import DataSpec
from lowerbound.recipes import latents, parts
from lowerbound.recipes.climbing import climbing
from lowerbound.recipes.registry import Setup, recipe


@recipe("semi-amortised-vae")
def semi_amortised_vae(
    spec: DataSpec,
    *,
    latent: Count = 50,
    net: parts.NetName = "mlp",
    hidden: parts.Widths = None,
    activation: str = "silu",
    likelihood: parts.LikelihoodName = "auto",
    learning_steps: NonNegativeInt = 3,
    steps: NonNegativeInt = 100,
    rate: NonNegative = 0.5,
) -> Setup:
    """Semi-amortised variational autoencoder: the encoder's posterior is where a climb in each datum's own one begins.

    Choose it where an encoder stays short of the best posterior and a step may take six times as long. In training
    gradients go back through the climb, a few natural-gradient steps, so that the encoder learns where to begin and the
    decoder to be climbed in. Yoon Kim, Sam Wiseman, Andrew C. Miller, David Sontag and Alexander M. Rush,
    "Semi-amortized variational autoencoders", 2018; Joseph Marino, Yisong Yue and Stephan Mandt, "Iterative amortized
    inference", 2018.

    Args:
        learning_steps: of the climb in training; 0 is a vae.
        steps: of the climb when the model is measured or used.
        rate: of the climb in training, in units of the natural gradient; 1 or less.
    """
    ends = parts.ends(spec, 2 * latent, latent, net=net, hidden=hidden, activation=activation, likelihood=likelihood)
    base = Latent(standard_normal(latent), latents.gaussian(ends.encoder, latent), ends.likelihood, ends.reads)
    climbs = NaturalClimb(base, learning_steps, rate), Climb(base, steps, CLIMB)
    posterior = SemiAmortised(base.posterior, *climbs, ends.reads)
    return climbing(base.prior, posterior, ends, VALIDATED)


CLIMB = 0.1
"""Rate of the climb when measured, in units of the encoder's own scale."""

VALIDATED = 1024
"""Validation rows looked at after an epoch: each costs as much as tens of training rows do."""
