"""The contractive autoencoder."""

from __future__ import annotations

from torch import nn

from lowerbound.arguments import Count, NonNegative, NonNegativeInt
from lowerbound.core import Contractive, Distortion, Point, SquaredWeights
from lowerbound.data.spec import DataSpec
from lowerbound.nets import activate
from lowerbound.recipes import parts
from lowerbound.recipes.autoencoding import autoencoder, sensitivity
from lowerbound.recipes.registry import Setup, recipe


@recipe("contractive-ae")
def contractive_ae(
    spec: DataSpec,
    *,
    latent: Count = 32,
    net: parts.NetName = "mlp",
    hidden: parts.Widths = None,
    activation: str = "tanh",
    likelihood: parts.LikelihoodName = "auto",
    weight: NonNegative = 0.1,
    decay: NonNegative = 1e-4,
    probes: NonNegativeInt | None = None,
    components: Count = 10,
) -> Setup:
    """Contractive autoencoder: + weight·‖∂h/∂x‖²_F, so that the code h moves with x only where x must be told apart.

    Choose it when a code must not follow small changes of the datum. Salah Rifai, Pascal Vincent, Xavier Muller, Xavier
    Glorot and Yoshua Bengio, "Contractive auto-encoders: explicit invariance during feature extraction", 2011. They tie
    the decoder to the encoder, for else codes escape the penalty by shrinking while the decoder grows; here a price on
    the decoder's weights prevents it, in any network.

    Args:
        activation: the networks' nonlinearity, and the code's.
        weight: what the penalty counts for, in nats.
        decay: what the decoder's squared weights count for, in nats.
        probes: random directions in which the Jacobian is measured, 0 for all; by default one where the code is wide.
            A code of one layer is measured in closed form.
    """
    ends = parts.ends(spec, latent, latent, net=net, hidden=hidden, activation=activation, likelihood=likelihood)
    nonlinearity = activate(activation)
    norm = sensitivity(ends.encoder, nonlinearity, latent, probes)
    contractive = Contractive(norm, at=lambda trace: ends.reads(trace.batch)[0])
    objective = Distortion() + weight * contractive + decay * SquaredWeights(ends.decoder)
    return autoencoder(ends, Point(nn.Sequential(ends.encoder, nonlinearity)), objective, latent, components)
