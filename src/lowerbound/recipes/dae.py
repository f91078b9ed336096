"""The denoising autoencoder."""

from __future__ import annotations

from dataclasses import replace

from lowerbound.arguments import Count, NonNegative
from lowerbound.core import Distortion, Point
from lowerbound.data.corruption import CorruptionName, corruption_for
from lowerbound.data.spec import DataSpec
from lowerbound.recipes import parts
from lowerbound.recipes.autoencoding import autoencoder
from lowerbound.recipes.registry import Setup, recipe


@recipe("dae")
def dae(
    spec: DataSpec,
    *,
    latent: Count = 32,
    net: parts.NetName = "mlp",
    hidden: parts.Widths = None,
    activation: str = "silu",
    likelihood: parts.LikelihoodName = "auto",
    corruption: CorruptionName = "masking",
    amount: NonNegative = 0.5,
    patch: Count = 4,
    components: Count = 10,
) -> Setup:
    """Denoising autoencoder: it is shown a corrupted datum, drawn anew each time, and is to tell the clean one.

    Choose it when data come damaged, or for codes that do not hang on single values. Pascal Vincent, Hugo Larochelle,
    Yoshua Bengio and Pierre-Antoine Manzagol, "Extracting and composing robust features with denoising autoencoders",
    2008. Training and `evaluate` corrupt; the other verbs take x as it is given.

    Args:
        corruption: masking sets values to 0, and patches whole squares; salt-and-pepper sets them to the ends of their
            range; gaussian adds noise.
        amount: share of the values lost; for gaussian the noise's standard deviation, the data's range being one.
        patch: side of a square, in pixels.
    """
    ends = parts.ends(spec, latent, latent, net=net, hidden=hidden, activation=activation, likelihood=likelihood)
    x = ends.variable
    spoil = corruption_for(x, ends.views[x.name], corruption, amount, patch)
    setup = autoencoder(ends, Point(ends.encoder), Distortion(), latent, components)
    return replace(setup, corruptions={x.name: spoil})
