"""EM against scikit-learn's from the same start, and against what no EM may do: fall, or lose a component."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor

from lowerbound.mixtures.blocks import InMemory
from lowerbound.mixtures.components import Family
from lowerbound.mixtures.em import Until, begin, expectation, fit
from lowerbound.mixtures.gaussian import COVARIANCES, Full, Tied
from lowerbound.mixtures.mixture import Mixture, shared
from lowerbound.mixtures.quadratic import _pieces, unpacked
from lowerbound.mixtures.starts import Given, KMeans, PlusPlus, RandomRows, Scaling, Start, nearest

FAMILIES: dict[str, Family] = {kind: family() for kind, family in COVARIANCES.items()}


def clouds(components: int = 4, width: int = 5, count: int = 500, seed: int = 0) -> Tensor:
    """Rows of Gaussian clouds that overlap."""
    generator = torch.Generator().manual_seed(seed)
    centres = 1.5 * torch.randn(components, width, generator=generator, dtype=torch.float64)
    which = torch.randint(components, (count,), generator=generator)
    return centres[which] + torch.randn(count, width, generator=generator, dtype=torch.float64)


def scikit_learn(start: Mixture, kind: str, **settings: float) -> GaussianMixture:
    """Theirs, at the same start."""
    kept = {name: each[0].numpy() for name, each in start.components.tensors().items() if name != "origin"}
    precisions = np.linalg.inv(kept["covariance"]) if "covariance" in kept else 1 / kept["variance"]
    if kind in ("tied", "spherical"):
        precisions = precisions[0] if kind == "tied" else precisions[:, 0]
    return GaussianMixture(
        start.shape[1],
        covariance_type=kind,
        weights_init=start.weights.mean[0].numpy(),
        means_init=kept["loc"],
        precisions_init=precisions,
        **settings,
    )


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_same_start_leads_where_scikit_learn_gets(kind: str) -> None:
    x = clouds()
    blocks = InMemory(x, values=600)
    start = begin(FAMILIES[kind], blocks, 4)
    theirs = scikit_learn(start, kind, tol=1e-6, max_iter=300).fit(x.numpy())
    ours = fit(start, blocks, Until(1e-6, 300))
    shares = ours.mixture.shares(x)
    assert ours.steps == theirs.n_iter_
    assert ours.steps > 5
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


@pytest.mark.parametrize("apart", [0.0, 30.0, 1e3, 1e5])
@pytest.mark.parametrize("kind", FAMILIES)
def test_rows_of_single_precision_lead_where_scikit_learn_gets_in_double(kind: str, apart: float) -> None:
    """However far apart narrow clouds lie, and however far from 0: what cancels is seen, and worked on in double."""
    x = (clouds(5, 4, 1000) + apart * torch.randn(5, 4, dtype=torch.float64)[torch.arange(1000) % 5] + apart).float()
    start = begin(FAMILIES[kind], InMemory(x), 5)
    theirs = scikit_learn(start, kind, tol=0, max_iter=10)
    with pytest.warns(ConvergenceWarning):
        theirs.fit(x.double().numpy())
    assert fit(start, InMemory(x), Until(0, 10)).bound == pytest.approx(theirs.lower_bound_, rel=1e-5)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_blocks_and_tiles_of_any_size_add_up_to_the_same(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    x = clouds(count=300)
    start = begin(family, InMemory(x), 4, restarts=2)
    whole = expectation(start, InMemory(x))
    monkeypatch.setattr("lowerbound.mixtures.mixture.LEAST_ROWS", 7)
    monkeypatch.setattr("lowerbound.mixtures.mixture.CACHE_VALUES", 100)
    parts = expectation(start, InMemory(x, values=250))
    for one, other in zip(whole.sums, parts.sums):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(start.shares(x).responsibilities.sum(-1), torch.ones(2, 300, dtype=torch.float64))


@pytest.mark.parametrize("width", [1, 3, 4, 9])
def test_rows_too_wide_for_one_table_are_worked_on_in_pieces(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = clouds(3, width, 200)
    start = begin(Full(), InMemory(x), 3)
    normal = torch.distributions.MultivariateNormal(start.components.loc[0], start.components.covariance[0])  # type: ignore[attr-defined]
    _pieces.cache_clear()
    monkeypatch.setattr("lowerbound.mixtures.quadratic.PIECE", 10)
    found = start.components.explain(x)
    torch.testing.assert_close(found.log_prob[0], normal.log_prob(x[:, None]), rtol=1e-9, atol=1e-9)
    r = torch.rand(1, 200, 3, dtype=torch.float64)
    second = unpacked(found.statistics(r)["second"], width)[0]
    rows = x - start.components.origin  # type: ignore[attr-defined]
    torch.testing.assert_close(second, torch.einsum("nk,ni,nj->kij", r[0], rows, rows), rtol=1e-9, atol=1e-9)
    _pieces.cache_clear()


def test_entries_that_are_missing_are_left_out_of_a_spherical_fit() -> None:
    """One component: the mean of each column over what was seen, and the mean square about it over all entries seen."""
    x = clouds(1, 3, 50)
    x[::3, 0] = x[1::4, 2] = torch.nan
    found = begin(FAMILIES["spherical"], InMemory(x), 1).components.tensors()
    mean = x.nanmean(0)
    torch.testing.assert_close(found["loc"][0, 0], mean)
    torch.testing.assert_close(found["variance"][0, 0, 0], (x - mean).square().nanmean() + 1e-6)


def test_going_on_from_a_fit_is_the_fit_in_one_go() -> None:
    blocks = InMemory(clouds())
    start = begin(Full(), blocks, 4)
    half = fit(start, blocks, Until(0, 6))
    whole, rest = fit(start, blocks, Until(0, 10)), fit(half.mixture, blocks, Until(0, 4))
    assert half.history[0] + rest.history[0] == whole.history[0]
    torch.testing.assert_close(rest.mixture.components.tensors(), whole.mixture.components.tensors(), rtol=0, atol=0)


@pytest.mark.parametrize("start", [RandomRows(), PlusPlus(), KMeans(RandomRows())], ids=["random", "++", "k-means"])
def test_restarts_begin_apart_and_by_the_seed(start: Start) -> None:
    blocks = InMemory(clouds())
    one, other = (begin(Full(), blocks, 4, 3, start, torch.Generator().manual_seed(1)) for _ in range(2))
    first, again = one.components.tensors()["loc"], other.components.tensors()["loc"]
    assert torch.equal(first, again)
    assert not torch.allclose(first[0], first[1])


def test_centres_that_are_given_are_where_components_begin() -> None:
    x = clouds(2, 3, 100)
    centres = torch.tensor([[-9.0, 0.0, 0.0], [9.0, 0.0, 0.0]], dtype=torch.float64)
    found = begin(Full(), InMemory(x), 2, restarts=2, start=Given(centres)).components.tensors()["loc"]
    scale = x.std(0, correction=0)
    mine = nearest(x / scale, (centres / scale)[None])[0]
    torch.testing.assert_close(found, (mine.mT @ x / mine.sum(0)[:, None]).expand(2, -1, -1))
    with pytest.raises(ValueError, match="are not"):
        begin(Full(), InMemory(x), 3, start=Given(centres))


def test_k_means_ends_where_no_centre_moves() -> None:
    """scikit-learn's from the same centres, to convergence."""
    x, generator = clouds(3, 4, 300), torch.Generator().manual_seed(2)
    first = PlusPlus().centres(x, Scaling.of(x), 1, 3, torch.Generator().manual_seed(2))
    found = KMeans(rounds=100).centres(x, Scaling.of(x), 1, 3, generator)
    theirs = SklearnKMeans(3, init=first[0].numpy(), n_init=1, tol=0).fit(x.numpy()).cluster_centers_
    assert np.allclose(found[0].numpy(), theirs)


def test_a_tied_component_that_is_lost_begins_anew() -> None:
    x = clouds(count=300)
    start = begin(Tied(), InMemory(x), 4)
    far = start.components.tensors()["loc"].clone()
    far[0, :2] += 1e3
    lost = Mixture(start.weights, replace(start.components, loc=far))  # type: ignore[type-var]
    found = fit(lost, InMemory(x), Until(1e-6, 300))
    assert found.reseeded >= 2
    assert found.mixture.weights.mean.min() > 0.01
    assert found.bound > fit(begin(Tied(), InMemory(x), 2), InMemory(x), Until(1e-6, 300)).bound


def test_a_row_that_no_component_can_explain_is_nothing_but_unlikely() -> None:
    log_prob, responsibilities = shared(torch.tensor([[-torch.inf, -torch.inf], [0.0, -torch.inf]]))
    assert log_prob.tolist() == [-torch.inf, 0.0]
    assert torch.allclose(responsibilities, torch.tensor([[0.5, 0.5], [1.0, 0.0]]))


def test_a_constant_column_without_a_floor_is_refused() -> None:
    x = torch.cat([clouds(count=100), torch.ones(100, 1, dtype=torch.float64)], 1)
    with pytest.raises(ValueError, match="constant columns"):
        begin(Full(floor=0), InMemory(x), 2)


def test_single_precision_of_the_rows_keeps_the_likelihood() -> None:
    x = clouds()
    start = begin(Full(), InMemory(x), 4)
    wide, narrow = (fit(start, InMemory(rows), Until(0, 20)) for rows in (x, x.float()))
    assert narrow.bound == pytest.approx(wide.bound, rel=1e-5)
