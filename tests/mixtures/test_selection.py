"""Criteria against scikit-learn's on the same parameters, and what they choose."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture
from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky
from torch import Tensor

from lowerbound.mixtures.blocks import InMemory
from lowerbound.mixtures.em import Until
from lowerbound.mixtures.gaussian import Diagonal, Full, Spherical, Tied
from lowerbound.mixtures.selection import ByEM, BySteps, account, select

FAMILIES = {"full": Full(), "tied": Tied(), "diag": Diagonal(), "spherical": Spherical()}


def clouds(count: int = 600, seed: int = 0) -> Tensor:
    """Rows of three round clouds."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 2, generator=generator, dtype=torch.float64)
    return x + 5.0 * torch.arange(count).remainder(3)[:, None]


def theirs(kind: str, components: object, weights: Tensor, count: int) -> GaussianMixture:
    """scikit-learn's mixture with our parameters."""
    found = components.tensors()  # type: ignore[attr-defined]
    held = {name: value[0].numpy() for name, value in found.items() if name in ("loc", "covariance", "variance")}
    covariances = {
        "full": lambda: held["covariance"],
        "tied": lambda: held["covariance"][0],
        "diag": lambda: held["variance"],
        "spherical": lambda: held["variance"][..., 0],
    }[kind]()
    mixture = GaussianMixture(count, covariance_type=kind)
    mixture.weights_, mixture.means_ = weights[0].numpy(), held["loc"]
    mixture.covariances_ = covariances
    mixture.precisions_cholesky_ = _compute_precision_cholesky(covariances, kind)
    return mixture


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("count", [1, 3])
def test_criteria_are_scikit_learns(kind: str, count: int) -> None:
    x = clouds()
    best = select({kind: FAMILIES[kind]}, [count], InMemory(x, values=300)).best
    mixture = best.fit.mixture
    peer = theirs(kind, mixture.components, mixture.weights.mean, count)
    assert best.bic == pytest.approx(peer.bic(x.numpy()), rel=1e-9)
    assert best.aic == pytest.approx(peer.aic(x.numpy()), rel=1e-9)
    shares = peer.predict_proba(x.numpy())
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1))).sum()
    assert best.icl == pytest.approx(best.bic + 2 * entropy, rel=1e-9)


def test_three_clouds_are_found_with_the_fewest_parameters() -> None:
    x, held = clouds(), clouds(seed=1)
    for criterion in ("bic", "icl", "held-out"):
        found = select(FAMILIES, (1, 2, 3, 4), InMemory(x), criterion, InMemory(held))
        assert found.best.components == 3
        assert min(value for curve in found.curves.values() for value in curve.values()) == pytest.approx(
            found.curves[found.best.family][3]
        )
    assert select(FAMILIES, (1, 2, 3, 4), InMemory(x)).best.family == "spherical"
    assert len(found.table) == 16
    assert found.table[0]["family"] == "full"


def test_rows_count_as_their_weights_say() -> None:
    x = clouds(90)
    weights = torch.arange(90).remainder(4).double()
    weighted = select({"full": Full()}, [2], InMemory(x, weights)).best
    repeated = account(weighted.fit.mixture, InMemory(x.repeat_interleave(weights.long(), 0)))
    assert weighted.account == pytest.approx(repeated)
    assert weighted.account.weight == weights.sum()


def test_stepwise_candidates_are_judged_alike() -> None:
    x = clouds(6000)
    by_steps = select({"full": Full()}, (2, 3), InMemory(x), fitting=BySteps(size=200))
    by_em = select({"full": Full()}, (2, 3), InMemory(x), fitting=ByEM(until=Until(1e-6, 300)))
    assert by_steps.best.components == by_em.best.components == 3
    assert by_steps.best.bic == pytest.approx(by_em.best.bic, rel=2e-3)
    assert by_steps.best.bic >= by_em.best.bic
    assert by_steps.best.fit.steps == 30


def test_what_cannot_be_chosen_by_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no criterion 'bits'; choose one of: bic, aic, icl, held-out"):
        select(FAMILIES, [1], InMemory(clouds()), "bits")
    with pytest.raises(ValueError, match="say which these are"):
        select(FAMILIES, [1], InMemory(clouds()), "held-out")
