"""Gaussians of any covariance under rows with gaps, against each row's own marginal and conditional by brute force."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor
from torch.distributions import MultivariateNormal

from agree import assert_close, assert_mean
from lowerbound.mixtures import missing
from lowerbound.mixtures.blocks import Block, InMemory
from lowerbound.mixtures.components import Family
from lowerbound.mixtures.conditional import drawn, imputed, log_conditional, quantiles, variances
from lowerbound.mixtures.discrete import Bernoulli
from lowerbound.mixtures.em import Until, begin, fit
from lowerbound.mixtures.gaussian import Diagonal, Full, FullGaussians, Tied, TiedGaussians
from lowerbound.mixtures.mixture import Mixture
from lowerbound.mixtures.quadratic import unpacked
from lowerbound.mixtures.weights import Proportions

WIDTH, COMPONENTS = 5, 3


def a_mixture(restarts: int = 2) -> Mixture:
    """Gaussians far from round, measured from an origin that is none of their means."""
    root = torch.randn(restarts, COMPONENTS, WIDTH, WIDTH, dtype=torch.float64)
    loc = 2 * torch.randn(restarts, COMPONENTS, WIDTH, dtype=torch.float64)
    covariance = root @ root.mT + 0.05 * torch.eye(WIDTH)
    shares = torch.rand(restarts, COMPONENTS, dtype=torch.float64).log_softmax(-1)
    return Mixture(Proportions(shares), FullGaussians(loc, covariance, torch.ones(WIDTH, dtype=torch.float64), 0.0))


def gappy(count: int = 40, share: float = 0.3) -> Tensor:
    """Rows with gaps; the first has none and the second nothing else."""
    rows = 2 * torch.randn(count, WIDTH, dtype=torch.float64)
    rows[torch.rand(count, WIDTH) < share] = torch.nan
    rows[0], rows[1] = 1.0, torch.nan
    return rows


def by_hand(row: Tensor, loc: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log p of the observed entries; mean and covariance of the whole row given them."""
    o, m = (~row.isnan()).nonzero()[:, 0], row.isnan().nonzero()[:, 0]
    mean, spread = row.clone(), torch.zeros_like(covariance)
    gain = torch.linalg.solve(covariance[o][:, o], covariance[o][:, m]).mT
    mean[m] = loc[m] + gain @ (row[o] - loc[o])
    spread[m[:, None], m] = covariance[m][:, m] - gain @ covariance[o][:, m]
    log_prob = multivariate_normal(loc[o], covariance[o][:, o]).logpdf(row[o]) if len(o) else 0.0
    return torch.tensor(float(log_prob), dtype=torch.float64), mean, spread


def explained_by_hand(mixture: Mixture, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same for every row under every component: (R, N, K), (R, N, K, D), (R, N, K, D, D)."""
    loc, covariance = mixture.components.tensors()["loc"], mixture.components.tensors()["covariance"]
    cells = [[[by_hand(row, *each) for each in zip(*some)] for row in rows] for some in zip(loc, covariance)]
    log_prob, mean, spread = (
        torch.stack([torch.stack([torch.stack([cell[i] for cell in row]) for row in some]) for some in cells])
        for i in range(3)
    )
    return log_prob, mean, spread


def test_log_p_is_that_of_the_observed_entries_row_by_row() -> None:
    mixture, rows = a_mixture(), gappy()
    expected = explained_by_hand(mixture, rows)[0]
    assert_close(mixture.components.explain(rows).log_prob, expected, 1e-9)
    assert_close(mixture.log_prob(rows[1:2]), 0.0)


def test_statistics_are_exact_expectations_given_what_is_observed() -> None:
    mixture, rows = a_mixture(), gappy()
    weights = torch.rand(len(rows), dtype=torch.float64)
    found = mixture.expect(Block(rows, weights))
    log_prob, mean, spread = explained_by_hand(mixture, rows)
    shares = (log_prob + mixture.weights.log[:, None]).softmax(-1) * weights[:, None]
    x = mean - 1.0
    second = torch.einsum("rnk,rnkij->rkij", shares, x[..., :, None] * x[..., None, :] + spread)
    assert_close(found.statistics["first"], torch.einsum("rnk,rnkd->rkd", shares, x), 1e-9)
    assert_close(unpacked(found.statistics["second"], WIDTH), second, 1e-9)


def test_components_with_one_covariance_are_explained_as_if_each_had_it() -> None:
    full, rows = a_mixture().components, gappy()
    assert isinstance(full, FullGaussians)
    tied = TiedGaussians(full.loc, full.covariance[:, :1], full.origin, 0.0)
    same = replace(full, covariance=full.covariance[:, :1].expand_as(full.covariance))
    ours, theirs = tied.explain(rows), same.explain(rows)
    shares = torch.rand(2, len(rows), COMPONENTS, dtype=torch.float64)
    assert_close(ours.log_prob, theirs.log_prob, 1e-9)
    found, separate = ours.statistics(shares), theirs.statistics(shares)
    assert_close(found["first"], separate["first"], 1e-9)
    assert_close(found["second"], separate["second"].sum(1, keepdim=True), 1e-9)
    for one, other in zip(tied.conditional(rows), same.conditional(rows)):
        assert_close(one, other, 1e-9)


def test_what_is_too_much_to_keep_is_worked_out_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    components, rows = a_mixture().components, gappy()
    shares = torch.rand(2, len(rows), COMPONENTS, dtype=torch.float64)
    kept = components.explain(rows)
    monkeypatch.setattr(missing, "KEPT_VALUES", 0)
    monkeypatch.setattr(missing, "CHUNK_VALUES", 100)
    anew = components.explain(rows)
    assert_close(anew.log_prob, kept.log_prob, 1e-10)
    for name, total in anew.statistics(shares).items():
        assert_close(total, kept.statistics(shares)[name], 1e-10)


@pytest.mark.parametrize("family", [Full(0), Tied(0), Diagonal(0)], ids=["full", "tied", "diag"])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_no_step_lowers_the_likelihood(family: Family, share: float) -> None:
    rows = torch.cat([gappy(150, share), 3 + gappy(150, share)])
    blocks = InMemory(rows, torch.rand(len(rows)), values=600)
    found = fit(begin(family, blocks, 2, restarts=2), blocks, Until(0, 40))
    assert not found.reseeded
    for history in found.history:
        assert np.diff(history).min() > -1e-9 * abs(history[-1])


def test_em_finds_the_covariance_behind_rows_with_gaps() -> None:
    """At its end the likelihood is flat, as autograd of brute-force marginals says."""
    rows = torch.randn(60, WIDTH, dtype=torch.float64) @ torch.randn(WIDTH, WIDTH, dtype=torch.float64)
    rows[torch.rand_like(rows) < 0.3] = torch.nan
    found = fit(begin(Full(0), InMemory(rows), 1), InMemory(rows), Until(1e-14, 5000)).mixture.components
    loc, root = found.tensors()["loc"][0, 0], torch.linalg.cholesky(found.tensors()["covariance"][0, 0])
    values = [loc.requires_grad_(), root.requires_grad_()]
    total = sum(marginal(row, loc, root @ root.mT) for row in rows)
    assert isinstance(total, Tensor)
    for gradient in torch.autograd.grad(total, values):
        assert_close(gradient, 0.0, 1e-4)


def marginal(row: Tensor, loc: Tensor, covariance: Tensor) -> Tensor:
    seen = (~row.isnan()).nonzero()[:, 0]
    return MultivariateNormal(loc[seen], covariance[seen][:, seen]).log_prob(row[seen])


def test_what_is_expected_of_gaps_is_the_components_answers_by_their_shares() -> None:
    mixture, rows = a_mixture(1), gappy()
    log_prob, mean, spread = (each[0] for each in explained_by_hand(mixture, rows))
    shares = (log_prob + mixture.weights.log[0]).softmax(-1)[..., None]
    expected = (shares * mean).sum(1)
    square = (shares * (mean.square() + spread.diagonal(dim1=-2, dim2=-1))).sum(1)
    assert_close(imputed(mixture, rows), expected, 1e-9)
    assert_close(variances(mixture, rows), square - expected.square(), 1e-9)


def test_draws_are_of_whole_rows_given_what_is_observed() -> None:
    """Means and products of entries, 20 z-tests at 4.5: one failure in 7000."""
    mixture, rows = a_mixture(1), gappy()[2:3]
    rows[0, :3], rows[0, 3:] = torch.nan, 1.0
    log_prob, mean, spread = (each[0, 0] for each in explained_by_hand(mixture, rows))
    shares = (log_prob + mixture.weights.log[0]).softmax(-1)
    product = torch.einsum("k,kij->ij", shares, mean[:, :, None] * mean[:, None] + spread)
    found = drawn(mixture, rows, 4000)[:, 0]
    assert_mean(found, shares @ mean)
    assert_mean((found[:, :3, None] * found[:, None, :3]).flatten(1), product[:3, :3].flatten())


def test_held_out_entries_score_as_a_ratio_of_densities() -> None:
    mixture, rows = a_mixture(1), gappy()
    shown = torch.rand(rows.shape) < 0.5
    log_prob = explained_by_hand(mixture, rows)[0][0]
    some = explained_by_hand(mixture, torch.where(shown, rows, torch.nan))[0][0]
    exact = (log_prob + mixture.weights.log[0]).logsumexp(-1) - (some + mixture.weights.log[0]).logsumexp(-1)
    assert_close(log_conditional(mixture, rows, shown), exact, 1e-9)


@pytest.mark.parametrize("probability", [0.025, 0.5, 0.9])
def test_quantiles_cut_off_their_share(probability: float) -> None:
    mixture, rows = a_mixture(1), gappy()
    found, gone = quantiles(mixture, rows, probability), rows.isnan()
    log_prob, mean, spread = (each[0] for each in explained_by_hand(mixture, rows))
    shares = (log_prob + mixture.weights.log[0]).softmax(-1)[..., None]
    scale = spread.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt()
    below = (shares * torch.special.ndtr((found[:, None] - mean) / scale)).sum(1)
    assert_close(below[gone], probability, 1e-9)
    assert torch.equal(found[~gone], rows[~gone])


def test_only_gaussian_components_have_variances_of_gaps() -> None:
    mixture = begin(Bernoulli(), InMemory(torch.rand(20, 3).round()), 2)
    with pytest.raises(TypeError, match="use draws"):
        variances(mixture, torch.tensor([[1.0, torch.nan, 0.0]]))


def test_rows_of_single_precision_lose_little() -> None:
    mixture, rows = a_mixture(), gappy()
    narrow = mixture.log_prob(rows.float())
    assert narrow.dtype == torch.float32
    assert_close(narrow, mixture.log_prob(rows.float().double()).float(), 1e-4)


def test_rows_that_are_given_are_left_as_they_are() -> None:
    mixture, rows = a_mixture(1), gappy()
    before = rows.clone()
    drawn(mixture, rows, 2)
    missing.drawn(rows, torch.zeros(len(rows), dtype=torch.long), mixture.components.normals)  # type: ignore[attr-defined]
    assert torch.equal(rows.isnan(), before.isnan())
