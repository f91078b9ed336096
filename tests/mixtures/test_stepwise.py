"""Stepwise EM: a step over all rows is one of EM, a pass gets near EM's end, and a state goes on from where it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lowerbound.mixtures.blocks import Block, InMemory
from lowerbound.mixtures.components import Family
from lowerbound.mixtures.em import Until, begin, expectation, fit
from lowerbound.mixtures.gaussian import Diagonal, Full, Spherical, Tied
from lowerbound.mixtures.mixture import Mixture
from lowerbound.mixtures.scales import Student
from lowerbound.mixtures.stepwise import Pace, Stepwise, set_out, walk
from lowerbound.mixtures.streams import OnDisk

FAMILIES = {"full": Full(), "diag": Diagonal()}
OTHERS = {"tied": Tied(), "spherical": Spherical(), "student": Student()}
ALL_ALIKE = Pace(power=1, delay=0)
"""The first mini-batch takes the place of the start, and the mean is that of all rows since."""


def clouds(count: int, seed: int = 0) -> Tensor:
    """Rows of three Gaussian clouds that overlap, one after the other."""
    generator = torch.Generator().manual_seed(seed)
    rows = [2.0 * k + torch.randn(count // 3, 3, generator=generator, dtype=torch.float64) for k in range(3)]
    return torch.cat(rows)


def same(a: Mixture, b: Mixture) -> bool:
    ours, theirs = a.components.tensors(), b.components.tensors()
    return torch.equal(a.weights.log, b.weights.log) and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("family", [*FAMILIES.values(), *OTHERS.values()], ids=[*FAMILIES, *OTHERS])
def test_a_step_over_all_rows_is_a_step_of_em(family: Family) -> None:
    x = clouds(300)
    start = begin(family, InMemory(x), 3, restarts=2)
    stepped = Stepwise.at(start, InMemory(x[:100])).learn(Block.even(x), ALL_ALIKE)
    wanted = start.refit(expectation(start, InMemory(x)))
    assert torch.allclose(stepped.mixture.weights.log, wanted.weights.log, atol=1e-12)
    for name, value in wanted.components.tensors().items():
        assert torch.allclose(stepped.mixture.components.tensors()[name], value, atol=1e-12)
    assert stepped.memory == pytest.approx(300)


def test_the_mean_remembers_as_many_rows_as_it_weighs_alike() -> None:
    x = clouds(900)
    start = Stepwise.at(begin(Full(), InMemory(x), 3), InMemory(x[:50]))
    for state in walk(start, InMemory(x), size=100, pace=ALL_ALIKE):
        assert state.memory == pytest.approx(state.rows)
    assert (state.steps, state.rows) == (9, 900)
    assert state.mean.weight.item() == pytest.approx(1)
    assert state.mean.counts.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_one_pass_gets_near_the_end_of_em(family: Family) -> None:
    x, held = clouds(30_000), clouds(6000, seed=1)
    stepped = list(walk(set_out(family, InMemory(x), 3), InMemory(x), size=256))[-1]
    whole = fit(begin(family, InMemory(x), 3), InMemory(x), Until(1e-7, 500))
    lost = (whole.mixture.log_prob(held) - stepped.mixture.log_prob(held)).mean().item()
    assert abs(lost) < 2e-3
    assert stepped.log_likelihood.item() == pytest.approx(stepped.mixture.log_prob(held).mean().item(), abs=0.05)


def test_a_walk_goes_on_from_a_state_to_the_same_numbers() -> None:
    rows = InMemory(clouds(900))
    start = set_out(Full(), rows, 3)
    whole = list(walk(start, rows, size=100, passes=2))
    rest = list(walk(whole[12], rows, size=100, passes=2))
    assert len(whole) == 18
    assert len(rest) == 5
    assert same(rest[-1].mixture, whole[-1].mixture)
    assert not same(whole[8].mixture, whole[-1].mixture)


def test_a_sorted_file_is_mixed_enough(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", clouds(30_000).numpy())
    blocks = OnDisk(np.load(tmp_path / "x.npy", mmap_mode="r"))
    last = list(walk(set_out(Full(), blocks, 3), blocks, size=256))[-1]
    assert torch.allclose(last.mixture.weights.mean, torch.full((1, 3), 1 / 3, dtype=torch.float64), atol=0.05)


def test_lost_components_begin_anew() -> None:
    x = clouds(900)
    start = begin(Diagonal(), InMemory(x), 3)
    loc = start.components.tensors()["loc"]
    loc[0, 0] += 1e3
    states = list(walk(Stepwise.at(start, InMemory(x)), InMemory(x), size=100))
    assert states[-1].reseeded >= 1
    assert states[-1].mixture.weights.mean.min() > 0.01
    assert states[-1].mixture.log_prob(x).isfinite().all()


def test_weights_scale_what_a_mini_batch_counts_for_and_nothing_else() -> None:
    x = clouds(300)
    start = Stepwise.at(begin(Full(), InMemory(x), 3), InMemory(x))
    once, thrice = (start.learn(Block(x, x.new_full((300,), weight))) for weight in (1.0, 3.0))
    assert torch.allclose(once.mixture.components.tensors()["loc"], thrice.mixture.components.tensors()["loc"])
    assert thrice.rows == 3 * once.rows
