"""Discrete codes from a codebook, with a learned prior over them."""

from __future__ import annotations

import math
from typing import Literal

from lowerbound.arguments import Count, NonNegative
from lowerbound.core import (
    FSQ,
    AnalyticELBO,
    CodebookUse,
    CodePrior,
    Commitment,
    EMACodebook,
    Latent,
    Pathwise,
    Quantised,
)
from lowerbound.core.quantisation import levels_for
from lowerbound.data.spec import DataSpec
from lowerbound.nets import SUGGESTED_HIDDEN
from lowerbound.nets.autoregressive import CausalTransformer
from lowerbound.nets.spatial import grid_decoder, grid_encoder, grid_shape
from lowerbound.recipes import parts
from lowerbound.recipes.registry import Setup, recipe


@recipe("vq-vae")
def vq_vae(
    spec: DataSpec,
    *,
    quantiser: Literal["ema", "fsq"] = "ema",
    codes: Count = 512,
    latent: Count = 8,
    places: Count = 16,
    net: parts.NetName = "mlp",
    hidden: parts.Widths = None,
    activation: str = "silu",
    likelihood: parts.LikelihoodName = "auto",
    commitment: NonNegative = 4.0,
    prior_width: Count = 128,
    prior_layers: Count = 3,
) -> Setup:
    """Vector-quantised autoencoder: a grid of codes from one codebook, and a causal transformer as their prior.

    Choose it for discrete codes, to compress with or as the tokens of another model. q(z|x) is a mass on one grid of
    codes and the prior a mass over them, so the objective less the commitment is a lower bound on log p(x). The prior
    is trained along: its log p(z) reaches neither encoder nor codebook. Aäron van den Oord, Oriol Vinyals and Koray
    Kavukcuoglu, "Neural discrete representation learning", 2017; with the quantiser fsq, Fabian Mentzer et al., "Finite
    scalar quantization: VQ-VAE made simple", 2023.

    Args:
        quantiser: ema is a codebook that follows the encoder by moving averages; fsq rounds a few bounded numbers.
        codes: size of the codebook; with fsq the largest product of levels up to it.
        latent: numbers in the vector of a code; with fsq the levels decide.
        places: codes that the perceptron gives a datum; convolutions give one for each place of their coarsest grid.
        hidden: widths from the data's side; of convolutions the stages', each of which halves, and then the grid's.
        commitment: weight of the pull of the encoder towards its codes; fsq needs none.
        prior_width: width of the transformer, a multiple of 32 or less than 64.
        prior_layers: blocks of the transformer.
    """
    x, widths = parts.only_variable(spec), SUGGESTED_HIDDEN[net] if hidden is None else hidden
    name = parts.likelihood_name(likelihood, x)
    book = EMACodebook(codes, latent) if quantiser == "ema" else FSQ(levels_for(codes))
    grid = grid_shape(net, x.shape, widths, places)
    outward = grid_decoder(net, book.width, x.shape, parts.family(name).per_value(x), widths, activation, places)
    inward = grid_encoder(net, x.shape, book.width, widths, activation, places)
    ends = parts.between(x, name, inward, outward, outward.start_at)
    prior = CausalTransformer(book.codes, math.prod(grid), prior_width, prior_layers)
    bound = AnalyticELBO()
    return Setup(
        Latent(CodePrior(prior, grid, book), Quantised(ends.encoder, book, len(grid) + 1), ends.likelihood, ends.reads),
        ends.views,
        bound + commitment * Commitment() if quantiser == "ema" else bound,
        Pathwise(),
        start=ends.start,
        meters=lambda: (CodebookUse(book),),
    )
