"""EM against scikit-learn's from the same start, and against what no EM may do: fall, or lose a component."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor

from lowerbound.mixtures.blocks import InMemory
from lowerbound.mixtures.components import Family
from lowerbound.mixtures.em import Until, begin, fit
from lowerbound.mixtures.gaussian import Diagonal, Full

FAMILIES = {"full": Full(), "diag": Diagonal()}


def clouds(components: int = 4, width: int = 5, count: int = 500, seed: int = 0) -> Tensor:
    """Rows of Gaussian clouds that overlap."""
    generator = torch.Generator().manual_seed(seed)
    centres = 1.5 * torch.randn(components, width, generator=generator, dtype=torch.float64)
    which = torch.randint(components, (count,), generator=generator)
    return centres[which] + torch.randn(count, width, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_same_start_leads_where_scikit_learn_gets(kind: str) -> None:
    x = clouds()
    blocks = InMemory(x, values=600)
    start = begin(FAMILIES[kind], blocks, 4)
    loc, tensors = start.components.tensors()["loc"][0], start.components.tensors()
    precision = tensors["covariance"][0].inverse() if kind == "full" else 1 / tensors["variance"][0]
    theirs = GaussianMixture(
        4,
        covariance_type=kind,
        weights_init=start.weights.mean[0].numpy(),
        means_init=loc.numpy(),
        precisions_init=precision.numpy(),
        tol=1e-6,
        max_iter=300,
    ).fit(x.numpy())
    ours = fit(start, blocks, Until(1e-6, 300))
    shares = ours.mixture.shares(x)
    assert ours.steps == theirs.n_iter_
    assert ours.steps > 10
    assert ours.bound == pytest.approx(theirs.lower_bound_, abs=1e-9)
    assert np.allclose(shares.log_prob[0], theirs.score_samples(x.numpy()), atol=1e-9)
    assert np.allclose(shares.responsibilities[0], theirs.predict_proba(x.numpy()), atol=1e-9)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_restarts_side_by_side_are_the_restarts_one_by_one(family: Family) -> None:
    blocks = InMemory(clouds())
    start = begin(family, blocks, 4, restarts=3)
    alone = [fit(start.pick(torch.tensor([i])), blocks, Until(1e-6, 300)) for i in range(3)]
    together = fit(start, blocks, Until(1e-6, 300))
    assert together.bound == pytest.approx(max(each.bound for each in alone), abs=1e-10)
    assert [len(history) for history in together.history] == [each.steps for each in alone]


def test_a_row_of_weight_two_is_two_rows() -> None:
    x = clouds(count=200)
    weights = torch.arange(200).remainder(3).double()
    start = begin(Full(), InMemory(x), 3)
    weighted = fit(start, InMemory(x, weights))
    repeated = fit(start, InMemory(x.repeat_interleave(weights.long(), 0)))
    assert weighted.bound == pytest.approx(repeated.bound, abs=1e-10)


def test_lost_components_begin_anew_and_are_counted() -> None:
    x = clouds(count=300)
    start = begin(Full(), InMemory(x), 4)
    far = start.components.loc.clone()  # type: ignore[attr-defined]
    far[0, 0] += 1e3
    lost = type(start)(start.weights, type(start.components)(far, *list(vars(start.components).values())[1:4]))
    found = fit(lost, InMemory(x), Until(1e-6, 300))
    assert found.reseeded >= 1
    assert found.mixture.weights.mean.min() > 0.01
    assert found.mixture.log_prob(x).isfinite().all()


def test_a_constant_column_without_a_floor_is_refused() -> None:
    x = torch.cat([clouds(count=100), torch.ones(100, 1, dtype=torch.float64)], 1)
    with pytest.raises(ValueError, match="constant columns"):
        begin(Full(floor=0), InMemory(x), 2)


def test_single_precision_of_the_rows_keeps_the_likelihood() -> None:
    x = clouds()
    start = begin(Full(), InMemory(x), 4)
    wide, narrow = (fit(start, InMemory(rows), Until(0, 20)) for rows in (x, x.float()))
    assert narrow.bound == pytest.approx(wide.bound, rel=1e-5)
