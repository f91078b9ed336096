"""Families joined over groups of columns: the whole is its parts, and the rest of a row follows from some of it."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from lowerbound.mixtures.blocks import InMemory
from lowerbound.mixtures.conditional import drawn, imputed, log_conditional
from lowerbound.mixtures.discrete import Bernoulli, Categorical, Poisson
from lowerbound.mixtures.em import Until, begin, fit
from lowerbound.mixtures.gaussian import Diagonal, Full
from lowerbound.mixtures.product import Product
from lowerbound.mixtures.scales import Student

MIXED = Product((((0, 3), Full()), ((1,), Bernoulli()), ((2,), Poisson()), ((4,), Student())))


def table(count: int = 400, seed: int = 0) -> Tensor:
    """Number, binary, count, number that goes with the first, number."""
    generator = torch.Generator().manual_seed(seed)
    group = torch.randint(2, (count,), generator=generator).double()
    noise = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    first = 3 * group + noise[:, 0]
    binary = (torch.rand(count, generator=generator) < 0.2 + 0.6 * group).double()
    counts = torch.poisson(1 + 5 * group, generator=generator)
    return torch.stack([first, binary, counts, -first + 0.5 * noise[:, 1], group + noise[:, 2]], -1)


def test_groups_of_single_columns_are_the_family_over_all() -> None:
    x = table()[:, [0, 3, 4]]
    apart = Product((((1,), Diagonal()), ((0, 2), Diagonal())))
    start = [begin(family, InMemory(x, values=200), 3) for family in (Diagonal(), apart)]
    whole, joined = (fit(each, InMemory(x), Until(0, 20)).mixture for each in start)
    assert torch.allclose(whole.log_prob(x), joined.log_prob(x), atol=1e-10)
    assert joined.free == whole.free


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_the_bound_of_mixed_columns_never_falls(missing: float) -> None:
    x = table()
    gaps = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < missing
    x = torch.where(gaps, torch.nan, x)
    # Without the floor under variances, which is no part of the bound.
    exact = Product((((0, 3), Full(0.0)), *MIXED.groups[1:]))
    for history in fit(begin(exact, InMemory(x), 3, restarts=3), InMemory(x), Until(0, 40)).history:
        assert all(after >= before - 1e-10 * abs(before) for before, after in pairwise(history))


def test_a_conditional_is_joint_over_marginal() -> None:
    x = table()
    mixture = fit(begin(MIXED, InMemory(x), 3), InMemory(x)).mixture
    shown = torch.tensor([True, False, True, False, True])
    grid = torch.linspace(-30, 30, 6001, dtype=torch.float64)
    masses = []
    for binary in (0.0, 1.0):
        rows = x[:1].repeat(len(grid), 1)
        rows[:, 1], rows[:, 3] = binary, grid
        masses.append(torch.trapezoid(log_conditional(mixture, rows, shown).exp(), grid))
    assert sum(masses).item() == pytest.approx(1, abs=1e-9)


def test_draws_given_some_columns_follow_the_conditional() -> None:
    torch.manual_seed(0)
    x = table()
    mixture = fit(begin(MIXED, InMemory(x), 3), InMemory(x)).mixture
    row = torch.tensor([[2.0, torch.nan, torch.nan, torch.nan, 0.5]], dtype=torch.float64)
    found = drawn(mixture, row, 20_000)[:, 0]
    assert (found[:, [0, 4]] == row[0, [0, 4]]).all()
    one = torch.tensor([[2.0, 1.0, torch.nan, torch.nan, 0.5]], dtype=torch.float64)
    share = log_conditional(mixture, one, ~row[0].isnan()).exp().item()
    assert found[:, 1].mean().item() == pytest.approx(share, abs=0.018)  # five standard errors
    mean = imputed(mixture, row)[0]
    assert found[:, 3].mean().item() == pytest.approx(mean[3].item(), abs=5 * found[:, 3].std().item() / 141)
    assert found[:, 2].mean().item() == pytest.approx(mean[2].item(), abs=5 * found[:, 2].std().item() / 141)


def test_samples_put_columns_where_they_belong() -> None:
    torch.manual_seed(0)
    x = table(4000)
    drawn_rows = fit(begin(MIXED, InMemory(x), 2), InMemory(x)).mixture.sample(20_000)
    assert (drawn_rows.mean(0) - x.mean(0)).abs().max() < 0.25
    assert set(drawn_rows[:, 1].tolist()) == {0.0, 1.0}
    assert torch.corrcoef(drawn_rows.T)[0, 3].item() == pytest.approx(torch.corrcoef(x.T)[0, 3].item(), abs=0.05)


def test_a_column_in_no_group_or_in_two_is_refused() -> None:
    for groups in ([((0,), Diagonal())], [((0, 1), Diagonal()), ((1,), Categorical((2,)))]):
        with pytest.raises(ValueError, match="in one group"):
            Product(tuple(groups)).pooled(torch.zeros(3, 2), 1, 1)
