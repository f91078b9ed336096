"""The hierarchical variational autoencoder."""

from __future__ import annotations

from typing import Literal

from lowerbound.arguments import Count, NonNegative, NonNegativeInt
from lowerbound.core import Distortion, Ladder, LayerRate, LayerRates, Objective, Pathwise, WarmUp, gaussian_rung
from lowerbound.data.spec import DataSpec
from lowerbound.nets.ladder import SUGGESTED_HIDDEN, ladder, suggested_layers
from lowerbound.recipes import bounds, parts
from lowerbound.recipes.registry import Setup, recipe


@recipe("ladder-vae")
def ladder_vae(
    spec: DataSpec,
    *,
    latent: Count = 8,
    top: Count = 32,
    net: Literal["mlp", "conv"] = "mlp",
    hidden: parts.Widths = None,
    layers: tuple[NonNegativeInt, ...] | None = None,
    activation: str = "silu",
    likelihood: parts.LikelihoodName = "auto",
    bound: Literal["elbo", "iwae"] = "elbo",
    particles: Count = 1,
    anneal: NonNegativeInt = 0,
    free_bits: NonNegative = 0.0,
) -> Setup:
    """Ladder variational autoencoder: layers of z, whose posterior and prior share one way down.

    Choose it for a better log p(x) than one layer of z gives, where there is time for it. Casper Kaae Sønderby et al.,
    "Ladder variational autoencoders", 2016; with residual blocks and maps for latents, Arash Vahdat and Jan Kautz,
    "NVAE: a deep hierarchical variational autoencoder", 2020; free bits, Diederik P. Kingma et al., "Improving
    variational inference with inverse autoregressive flow", 2016.

    Args:
        latent: numbers in the z of each layer below the top; of a convolutional ladder, at each place of its map.
        top: dimensions of the topmost z, a vector.
        net: perceptrons, or for pictures convolutions with maps for latents.
        hidden: widths from the data's side, one for each height, then that of the layers beside the top; each height of
            a convolutional ladder has maps of half the sides of those below.
        layers: layers of z at each height from the data's side, without the topmost; each kind has its own default.
        bound: elbo has its KL in closed form; iwae is the importance-weighted bound.
        particles: draws of z for each datum and step.
        anneal: steps over which the weight of the rate rises from 0.
        free_bits: nats of each layer, averaged over a batch, that cost nothing to use.
    """
    x = parts.only_variable(spec)
    name, widths = parts.likelihood_name(likelihood, x), SUGGESTED_HIDDEN[net] if hidden is None else hidden
    counts = suggested_layers(net, widths) if layers is None else layers
    nets = ladder(net, x.shape, parts.family(name).per_value(x), widths, counts, latent, top, activation)
    ends = parts.between(x, name, nets.ascent, nets.decoder, nets.decoder.start_at)
    rungs = {f"z{number}": gaussian_rung(*each) for number, each in enumerate(nets.rungs, 1)}
    return Setup(
        Ladder(ends.encoder, rungs, ends.likelihood, ends.reads),
        ends.views,
        _objective(bound, anneal, free_bits),
        Pathwise(),
        particles,
        start=ends.start,
        meters=lambda: (LayerRates(),),
    )


def _objective(bound: str, anneal: int, free_bits: float) -> Objective:
    if bound == "iwae" or not free_bits:
        return bounds.objective(bound, 1.0, anneal, free_bits)
    return Distortion() + (WarmUp(anneal) if anneal else 1.0) * LayerRate(free_bits)
