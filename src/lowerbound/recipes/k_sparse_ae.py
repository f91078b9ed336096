"""The k-sparse autoencoder: a dictionary learned from data."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lowerbound.arguments import Count, NonNegative
from lowerbound.core import Batch, Distortion, Pathwise
from lowerbound.core.sparse_codes import Revival, SparseCoding, UnitsUsed, UnitUse
from lowerbound.data.spec import DataSpec
from lowerbound.data.views import view_for
from lowerbound.nets import topk
from lowerbound.nets.dictionary import Dictionary, SparseEncoder
from lowerbound.recipes import parts
from lowerbound.recipes.registry import Setup, recipe

OVERDUE = 20
"""A unit is dead that would have been used so often by now, were all used alike."""


@recipe("k-sparse-ae")
def k_sparse_ae(
    spec: DataSpec,
    *,
    latent: Count = 16_384,
    k: Count = 32,
    activation: topk.ActivationName = "topk",
    likelihood: parts.LikelihoodName = "auto",
    dead_after: Count | None = None,
    revive: NonNegative = 1 / 32,
    pull: NonNegative = 10.0,
) -> Setup:
    """k-sparse autoencoder: each datum a sum of k directions out of very many; no prior, so no bound on log p(x).

    Choose it to learn which directions data are made of, such as a network's activations, not to draw new data: a
    sample is the reconstruction of a training datum drawn at random. With the likelihood mse the loss is the squared
    error. Alireza Makhzani and Brendan Frey, "k-sparse autoencoders", 2013; Leo Gao et al., "Scaling and evaluating
    sparse autoencoders", 2024.

    Args:
        latent: units in the dictionary.
        k: units that a datum uses: exactly with topk, on average with batch-topk and jump-relu.
        activation: topk keeps the k largest responses of each datum, batch-topk those of a batch, jump-relu those
            above a learned threshold of each unit.
        dead_after: data to which a unit is of no use before it counts as dead and is revived; by default as many as
            would use each unit 20 times, were all used alike.
        revive: weight of the loss by which dead units learn what the living leave over.
        pull: with jump-relu, weight of (units used / k - 1) squared.
    """
    x = parts.only_variable(spec)
    name = parts.likelihood_name(likelihood, x)
    family, read = parts.family(name), parts.reads(x, name)
    dictionary = Dictionary(latent, (*x.shape, family.per_value(x)) if family.per_value(x) > 1 else x.shape)
    kept = topk.activation(activation, k, latent)
    encoder = SparseEncoder(x.shape, latent, kept, dead_after or OVERDUE * latent // k)
    encoder.look_for(dictionary)
    model = SparseCoding(encoder, {x.name: family.build(dictionary, x)}, latent, kept.slots, read)

    def start(means: Mapping[str, Tensor]) -> None:
        dictionary.start_at(family.start(means[x.name], x))
        encoder.start_at(read(Batch({x.name: means[x.name].unsqueeze(0)}))[0])

    objective = Distortion() + revive * Revival()
    return Setup(
        model,
        {x.name: view_for(x, name)},
        objective + pull * UnitsUsed(k) if activation == "jump-relu" else objective,
        Pathwise(),
        start=start,
        settle=model.settle,
        meters=lambda: (UnitUse(latent),),
    )
