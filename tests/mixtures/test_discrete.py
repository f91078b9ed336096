"""Codes, counts and hidden scales: densities against scipy, M-steps against what maximises, EM that never falls."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from scipy import stats
from torch import Tensor

from lowerbound.mixtures.blocks import InMemory
from lowerbound.mixtures.components import Components, Family
from lowerbound.mixtures.discrete import Bernoulli, Categorical, Poisson
from lowerbound.mixtures.em import Until, begin, expectation, fit
from lowerbound.mixtures.scales import NegativeBinomial, Student

N = 300


def rows_of(kind: str, seed: int = 0, missing: float = 0.0) -> Tensor:
    """Rows of two groups, three columns."""
    generator = torch.Generator().manual_seed(seed)
    group = torch.randint(2, (N, 1), generator=generator).double()
    noise = torch.rand(N, 3, generator=generator, dtype=torch.float64)
    made = {
        "bernoulli": (noise < 0.2 + 0.5 * group).double(),
        "categorical": (3 * noise ** (0.4 + 2 * group)).floor(),
        "poisson": torch.poisson(2 + 6 * group + torch.zeros_like(noise), generator=generator),
        "negative": torch.poisson((2 + 6 * group) * -noise.log(), generator=generator),
        "student": 5 * group + torch.tan(math.pi * 0.98 * (noise - 0.5)),
    }[kind]
    gaps = torch.rand(N, 3, generator=generator) < missing
    return torch.where(gaps, torch.nan, made)


FAMILIES: dict[str, Family] = {
    "bernoulli": Bernoulli(),
    "categorical": Categorical((3, 3, 3)),
    "poisson": Poisson(),
    "negative": NegativeBinomial(),
    "student": Student(),
}


def fitted(kind: str, missing: float = 0.0, steps: int = 8) -> Components:
    blocks = InMemory(rows_of(kind, missing=missing), values=300)
    return fit(begin(FAMILIES[kind], blocks, 2), blocks, Until(0, steps)).mixture.components


def scipy_log_prob(kind: str, values: dict[str, Tensor], x: Tensor, k: int) -> Tensor:
    """log p(x_d) by scipy, (N, 3)."""
    mine = {name: value[0, k].numpy() for name, value in values.items() if value.dim() == 3}
    if kind in {"bernoulli", "categorical"}:
        shares = torch.as_tensor(mine["log_shares"]).reshape(3, -1)
        return shares[torch.arange(3), x.long()]
    return torch.as_tensor(
        {
            "poisson": lambda: stats.poisson.logpmf(x, mine["rate"]),
            "negative": lambda: stats.nbinom.logpmf(x, mine["tail"], mine["tail"] / (mine["tail"] + mine["rate"])),
            "student": lambda: stats.t.logpdf(x, 2 * mine["tail"], mine["loc"], mine["variance"] ** 0.5),
        }[kind]()
    )


@pytest.mark.parametrize("kind", FAMILIES)
def test_densities_are_those_of_scipy(kind: str) -> None:
    components, x = fitted(kind), rows_of(kind, seed=1)
    found = components.explain(x).log_prob[0]
    for k in range(2):
        assert torch.allclose(found[:, k], scipy_log_prob(kind, components.tensors(), x, k).sum(-1), atol=1e-9)


@pytest.mark.parametrize("kind", FAMILIES)
def test_missing_entries_are_left_out(kind: str) -> None:
    components, x = fitted(kind, missing=0.3), rows_of(kind, seed=1)
    gaps = torch.rand(N, 3, generator=torch.Generator().manual_seed(2)) < 0.3
    found = components.explain(torch.where(gaps, torch.nan, x)).log_prob[0]
    entries = scipy_log_prob(kind, components.tensors(), x, 1)
    assert torch.allclose(found[:, 1], torch.where(gaps, 0, entries).sum(-1), atol=1e-9)


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("kind", FAMILIES)
def test_the_bound_never_falls_and_single_precision_follows_it(kind: str, missing: float) -> None:
    for seed in range(4):
        x = rows_of(kind, seed, missing)
        start = begin(FAMILIES[kind], InMemory(x), 3, restarts=2)
        found = fit(start, InMemory(x), Until(0, 40))
        for history in found.history:
            assert all(after >= before - 1e-10 * abs(before) for before, after in pairwise(history))
        narrow = fit(start, InMemory(x.float()), Until(0, 40))
        assert found.reseeded == 0
        assert narrow.bound == pytest.approx(found.bound, rel=1e-4)


@pytest.mark.parametrize("kind", ["bernoulli", "categorical", "poisson"])
def test_the_m_step_is_where_the_gradient_of_the_bound_vanishes(kind: str) -> None:
    x = rows_of(kind)
    pooled = FAMILIES[kind].pooled(x, 1, 1)
    ones = torch.ones(1, N, 1, dtype=torch.float64)
    best = pooled.refit(ones.sum(-2), pooled.explain(x).statistics(ones))

    def bound(free: Tensor) -> Tensor:
        values = free.exp() if kind == "poisson" else free.reshape(3, -1).log_softmax(-1).reshape(free.shape)
        moved = type(best)(values, *list(vars(best).values())[1:3])
        return moved.explain(x).log_prob.sum() + moved.penalty.sum()

    first = next(iter(best.tensors().values()))
    free = (first.log() if kind == "poisson" else first).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(bound(free), free)
    assert gradient.abs().max() < 1e-9


def test_latent_classes_are_found_again() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.tensor([[0.9, 0.8, 0.9, 0.1, 0.2, 0.7], [0.2, 0.1, 0.3, 0.8, 0.9, 0.2]])
    group = (torch.rand(4000, generator=generator) < 0.3).long()
    x = (torch.rand(4000, 6, generator=generator) < truth[group]).double()
    mixture = fit(begin(Bernoulli(), InMemory(x), 2), InMemory(x), Until(1e-8, 500)).mixture
    found = mixture.components.tensors()["log_shares"][0, :, 1::2].exp()
    order = mixture.weights.mean[0].argsort(descending=True)
    assert (found[order] - truth).abs().max() < 0.05
    assert mixture.weights.mean[0, order[0]].item() == pytest.approx(0.7, abs=0.03)


def test_tails_are_found_again() -> None:
    torch.manual_seed(0)
    x = InMemory(torch.as_tensor(stats.t.rvs(3.0, 2.0, 0.5, size=(20_000, 1), random_state=1)))
    values = fit(begin(Student(), x, 1), x, Until(1e-7, 500)).mixture.components.tensors()
    assert 2 * values["tail"].item() == pytest.approx(3.0, rel=0.08)
    assert values["loc"].item() == pytest.approx(2.0, abs=0.02)
    assert values["variance"].item() == pytest.approx(0.25, rel=0.05)
    n = InMemory(torch.as_tensor(stats.nbinom.rvs(2.0, 2.0 / 9.0, size=(20_000, 1), random_state=1)).double())
    counts = fit(begin(NegativeBinomial(), n, 1), n, Until(1e-7, 500)).mixture.components.tensors()
    assert counts["tail"].item() == pytest.approx(2.0, rel=0.06)
    assert counts["rate"].item() == pytest.approx(7.0, rel=0.03)


@pytest.mark.parametrize("kind", FAMILIES)
def test_samples_have_the_components_moments(kind: str) -> None:
    torch.manual_seed(0)
    components = fitted(kind)
    drawn = components.sample(torch.ones(40_000, dtype=torch.long))
    entries = scipy_log_prob(kind, components.tensors(), drawn[:200], 1)
    assert entries.isfinite().all()
    middle = drawn[:, 0].quantile(0.5)
    below = (drawn[:, 0] <= middle).double().mean()
    mine = {name: value[0, 1, 0].item() for name, value in components.tensors().items() if value.dim() == 3}
    exact = {
        "poisson": lambda: stats.poisson.cdf(middle, mine["rate"]),
        "negative": lambda: stats.nbinom.cdf(middle, mine["tail"], mine["tail"] / (mine["tail"] + mine["rate"])),
        "student": lambda: stats.t.cdf(middle, 2 * mine["tail"], mine["loc"], mine["variance"] ** 0.5),
    }.get(kind, lambda: components.tensors()["log_shares"][0, 1, : int(middle) + 1].exp().sum())()
    assert float(below) == pytest.approx(float(exact), abs=0.0125)  # five standard errors


def test_values_out_of_range_are_refused() -> None:
    x = torch.tensor([[0.0], [2.0]])
    with pytest.raises(ValueError, match="codes 0 to 1"):
        Bernoulli().pooled(x, 1, 1)
    with pytest.raises(ValueError, match="whole number"):
        Poisson().pooled(x - 1, 1, 1)
    with pytest.raises(ValueError, match="worth more than no row"):
        Poisson(0.0).pooled(x, 1, 1)


def test_a_column_that_was_never_seen_keeps_its_prior() -> None:
    counts = torch.cat([rows_of("poisson"), torch.full((N, 1), torch.nan)], 1)
    for family, rows in ((Poisson(), counts), (NegativeBinomial(), counts), (Bernoulli(), counts.clamp_max(1))):
        mixture = begin(family, InMemory(rows), 2)
        assert expectation(mixture, InMemory(rows)).log_likelihood.isfinite().all()
