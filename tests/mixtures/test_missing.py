"""Gaussians of any covariance under rows with gaps, against each row's own marginal and conditional by brute force."""

from __future__ import annotations

import pytest
import torch
from agree import LIMIT, assert_close, assert_mean
from scipy.stats import multivariate_normal
from torch import Tensor

from lowerbound.mixtures.blocks import Block, InMemory
from lowerbound.mixtures.conditional import drawn, gaussian, imputed, log_conditional, quantiles, variances
from lowerbound.mixtures.em import Until, begin, fit
from lowerbound.mixtures.gaussian import Full, FullGaussians
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


def by_hand(row: Tensor, loc: Tensor, covariance: Tensor) -> tuple[float, Tensor, Tensor]:
    """log p of the observed entries; mean and covariance of the whole row given them."""
    o, m = (~row.isnan()).nonzero()[:, 0], row.isnan().nonzero()[:, 0]
    mean, spread = row.clone(), torch.zeros_like(covariance)
    gain = torch.linalg.solve(covariance[o][:, o], covariance[o][:, m]).mT
    mean[m] = loc[m] + gain @ (row[o] - loc[o])
    spread[m[:, None], m] = covariance[m][:, m] - gain @ covariance[o][:, m]
    log_prob = multivariate_normal(loc[o], covariance[o][:, o]).logpdf(row[o]) if len(o) else 0.0
    return float(log_prob), mean, spread


def explained_by_hand(mixture: Mixture, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same for every row under every component: (R, N, K), (R, N, K, D), (R, N, K, D, D)."""
    loc, covariance = mixture.components.tensors()["loc"], mixture.components.tensors()["covariance"]
    cells = [[[by_hand(row, *each) for each in zip(*some)] for row in rows] for some in zip(loc, covariance)]
    log_prob = torch.tensor([[[cell[0] for cell in row] for row in some] for some in cells], dtype=torch.float64)
    mean, spread = (
        torch.stack([torch.stack([torch.stack([cell[i] for cell in row]) for row in some]) for some in cells])
        for i in (1, 2)
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
