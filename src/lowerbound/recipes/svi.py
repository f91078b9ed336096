"""Stochastic variational inference: a posterior for every datum by itself, and no encoder."""

from __future__ import annotations

from torch import nn

from lowerbound.arguments import Count, NonNegative
from lowerbound.core import Climb, Latent, PerDatum, Table, standard_normal
from lowerbound.data.spec import DataSpec
from lowerbound.nets import SUGGESTED_HIDDEN, decoder
from lowerbound.recipes import parts
from lowerbound.recipes.climbing import climbing
from lowerbound.recipes.registry import Setup, recipe


@recipe("svi")
def svi(
    spec: DataSpec,
    *,
    latent: Count = 50,
    net: parts.NetName = "mlp",
    hidden: parts.Widths = None,
    activation: str = "silu",
    likelihood: parts.LikelihoodName = "auto",
    pace: NonNegative = 1000.0,
    steps: Count = 100,
) -> Setup:
    """Stochastic variational inference: each training datum's Gaussian posterior is a row of a table.

    Choose it where no network could read the data, or to see what an encoder costs: each new datum takes a climb of its
    own. A step moves the weights and the rows of the batch at once. Matthew D. Hoffman, David M. Blei, Chong Wang and
    John Paisley, "Stochastic variational inference", 2013.

    Args:
        pace: learning rate of a datum's own posterior, in units of lr.
        steps: of the climb that finds the posterior of a datum when the model is measured or used.
    """
    x = parts.only_variable(spec)
    name, widths = parts.likelihood_name(likelihood, x), SUGGESTED_HIDDEN[net] if hidden is None else hidden
    outward = decoder(net, latent, x.shape, parts.family(name).per_value(x), widths, activation)
    ends = parts.between(x, name, nn.Identity(), outward, outward.start_at)
    table = Table(spec.count, latent, pace)
    climb = Climb(Latent(standard_normal(latent), table, ends.likelihood), steps, CLIMB)
    return climbing(climb.model.prior, PerDatum(table, climb), ends, VALIDATED)


CLIMB = 0.2
"""Rate of the climb from N(0, I): in a hundred steps it comes within a nat of where four hundred lead."""

VALIDATED = 256
"""Validation rows looked at after an epoch: each costs as much as hundreds of training rows do."""
