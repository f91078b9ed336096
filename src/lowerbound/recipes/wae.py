"""The Wasserstein autoencoder."""

from __future__ import annotations

from lowerbound.arguments import Count, NonNegative
from lowerbound.core import MMD, Distortion, Latent, Pathwise, Point, inverse_multiquadric, standard_normal
from lowerbound.data.spec import DataSpec
from lowerbound.recipes import parts
from lowerbound.recipes.registry import Setup, recipe


@recipe("wae")
def wae(
    spec: DataSpec,
    *,
    latent: Count = 8,
    net: parts.NetName = "mlp",
    hidden: parts.Widths = None,
    activation: str = "silu",
    likelihood: parts.LikelihoodName = "auto",
    scale: NonNegative = 100.0,
) -> Setup:
    """Wasserstein autoencoder: points for codes, and all codes together are matched to the prior N(0, I).

    Choose it to sample from a plain autoencoder without fitting a density to its codes afterwards. distortion +
    scale·MMD² between the codes of a batch and draws of the prior, so take batches of 100 rows or more. Ilya
    Tolstikhin, Olivier Bousquet, Sylvain Gelly and Bernhard Schölkopf, "Wasserstein auto-encoders", 2018.

    Args:
        scale: weight of the match between codes and prior, lambda in the paper; best of the order of the distortion.
    """
    ends = parts.ends(spec, latent, latent, net=net, hidden=hidden, activation=activation, likelihood=likelihood)
    model = Latent(standard_normal(latent), Point(ends.encoder), ends.likelihood, ends.reads)
    objective = Distortion() + scale * MMD(inverse_multiquadric)
    return Setup(model, ends.views, objective, Pathwise(), start=ends.start)
