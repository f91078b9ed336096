"""The sparse autoencoder."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, Literal

from lowerbound.arguments import Count, NonNegative
from lowerbound.core import Distortion, L1Activation, LayeredPoint, MeanActivation, SparseActivation
from lowerbound.data.spec import DataSpec
from lowerbound.nets import SUGGESTED_HIDDEN, LayeredEncoder
from lowerbound.recipes import parts
from lowerbound.recipes.autoencoding import autoencoder
from lowerbound.recipes.registry import Setup, recipe


@recipe("sparse-ae")
def sparse_ae(
    spec: DataSpec,
    *,
    latent: Count = 32,
    hidden: parts.Widths = None,
    activation: str = "silu",
    likelihood: parts.LikelihoodName = "auto",
    penalty: Literal["kl", "l1"] = "kl",
    rho: Annotated[float, (0.001, 0.999)] = 0.05,
    weight: NonNegative = 5.0,
    layers: parts.Widths = None,
    components: Count = 10,
) -> Setup:
    """Sparse autoencoder: an encoder of sigmoids, each of which is active at the rate rho over the data.

    Choose it when units are to be active seldom, so that each can be read by itself. Andrew Ng, "Sparse autoencoder",
    lecture notes of CS294A, 2011; with the penalty l1, the Laplace prior of Bruno A. Olshausen and David J. Field,
    1996.

    Args:
        activation: the decoder's nonlinearity; the encoder's is the sigmoid.
        penalty: kl is Σ KL(rho ‖ mean activation), l1 is Σ |activation|, to which rho means nothing.
        rho: the mean activation that units are held to.
        weight: what the penalty counts for, in nats.
        layers: which of the encoder's layers are penalised, from 1 to the code's own; by default all.
    """
    widths = (*(SUGGESTED_HIDDEN["mlp"] if hidden is None else hidden), latent)
    ends = parts.ends(spec, latent, latent, net="mlp", hidden=hidden, activation=activation, likelihood=likelihood)
    encoder = LayeredEncoder(ends.variable.shape, widths, "sigmoid")
    encoder.start_at(math.log(rho / (1 - rho)))  # for units pressed down from a half overshoot, and some die
    sparse = SparseActivation(widths, rho, layers) if penalty == "kl" else L1Activation(widths, layers)
    setup = autoencoder(ends, LayeredPoint(encoder), Distortion() + weight * sparse, latent, components)
    return replace(setup, meters=lambda: (MeanActivation(),))
