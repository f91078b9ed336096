"""Which component of a mixture each datum is of, and how such groups agree with labels."""

from __future__ import annotations

from functools import singledispatch
from typing import Any, NamedTuple, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound.core import Batch, Chain, Conditional, Latent, Link, Model, memberships
from lowerbound.core.mixtures import only
from lowerbound.errors import InputError

Array = np.ndarray


class Clusters(NamedTuple):
    """The groups that a model finds: labels (N,), each datum's likeliest one, and responsibilities p(k|x), (N, C)."""

    labels: Array
    responsibilities: Array

    @classmethod
    def of(cls, responsibilities: Tensor) -> Clusters:
        """The clusters of rows of these probabilities, (N, C)."""
        return cls(responsibilities.argmax(1).cpu().numpy(), responsibilities.cpu().numpy())


@torch.no_grad()
def responsibilities(model: Model, batch: Batch, particles: int) -> Tensor:
    """p(k|x) of each datum, (B, C), from so many draws of q(z|x); see `core.memberships`.

    Raises:
        InputError: a model without either.
    """
    found = memberships(unheard(model).trace(batch, particles))
    if found is None:
        raise InputError(
            "the model has no clusters: no mixture for its prior and no latent that is one of a few; train vade, gmvae "
            "or vae with prior mixture"
        )
    return found


@singledispatch
def unheard(model: Model) -> Model:
    """The model of the same latents that says nothing of x, so that tracing it costs no decoder; or as it is."""
    return model


@unheard.register
def _(model: Latent) -> Model:
    return Latent(model.prior, model.posterior, {}, model.reads)


@unheard.register
def _(model: Chain) -> Model:
    return Chain(_links(model), {}, model.reads)


@final
class Only(Conditional):
    """A mixture prior with all its weight on one component."""

    def __init__(self, prior: Conditional, number: int) -> None:
        super().__init__()
        self.prior, self.number = prior, number

    def forward(self, *given: object) -> Distribution:
        return only(self.prior(*given), self.number)


@singledispatch
def restricted(model: Model, number: int) -> Model:
    """The model whose z is of one cluster."""
    raise InputError(f"a model of the form {type(model).__name__} has no clusters to draw from; train vade or gmvae")


@restricted.register
def _(model: Latent, number: int) -> Model:
    return Latent(Only(model.prior, number), model.posterior, _parts(model.likelihood), model.reads)


@restricted.register
def _(model: Chain, number: int) -> Model:
    (first, lowest), *others = _links(model).items()
    return Chain({first: Link(Only(lowest.prior, number), lowest.posterior), **dict(others)}, _parts(model.likelihood))


def _links(model: Chain) -> dict[str, Link]:
    return {name: link for name, link in model.links.items() if isinstance(link, Link)}


def _parts(likelihood: nn.ModuleDict) -> dict[str, Any]:
    return dict(likelihood.items())


def agreement(labels: Array, clusters: Array) -> dict[str, float]:
    """How clusters (N,) agree with labels (N,), neither of which knows the other's names.

    accuracy: share of rows in the right group under the best one-to-one matching of clusters to labels. nmi: normalised
    mutual information, and ari: adjusted Rand index, as scikit-learn defines them.

    >>> agreement(np.array([0, 0, 1, 1]), np.array([7, 7, 3, 7]))["accuracy"]
    0.75
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score  # slow to import

    right = sum(int(((clusters == group) & (labels == name)).sum()) for group, name in matching(labels, clusters))
    return {
        "accuracy": right / len(labels),
        "nmi": float(normalized_mutual_info_score(labels, clusters)),
        "ari": float(adjusted_rand_score(labels, clusters)),
    }


def matching(labels: Array, clusters: Array) -> list[tuple[Any, Any]]:
    """Pairs of a cluster and a label, one to one, by which the most rows are right; what is left over has no partner.

    Harold W. Kuhn, "The Hungarian method for the assignment problem", 1955.

    >>> matching(np.array(["a", "a", "b"]), np.array([1, 1, 0]))
    [(0, 'b'), (1, 'a')]
    """
    from scipy.optimize import linear_sum_assignment

    names, rows = np.unique(labels, return_inverse=True)
    groups, columns = np.unique(clusters, return_inverse=True)
    table = np.zeros((len(groups), len(names)), dtype=np.int64)
    np.add.at(table, (columns, rows), 1)
    return [(groups[g].item(), names[n].item()) for g, n in zip(*linear_sum_assignment(table, maximize=True))]
