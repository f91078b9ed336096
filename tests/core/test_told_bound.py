"""Law 3 under a condition: with nothing withheld every bound is of log p(x|c), and exact where q is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from agree import LIMIT, assert_close, z_scores
from lowerbound.core import ELBO, IWAE, Batch, Pathwise, log_marginal, total
from lowerbound.data.conditioning import Told
from lowerbound.data.spec import Variable
from lowerbound.data.views import Identity
from lowerbound.recipes.registry import Setup
from toys import ToldGaussian

pytestmark = pytest.mark.usefixtures("double")

ABOUT = Variable("c", "real", (3,), -9, 9, mean=(1.0, 0.0, -2.0), std=(2.0, 0.5, 1.0))


def setup(widen: float = 0.0, drop: float = 0.0) -> tuple[Setup, ToldGaussian]:
    exact = ToldGaussian(3 + bool(drop))
    given: dict[str, Any] = {"objective": ELBO(), "estimator": Pathwise(), "condition": Told(ABOUT, drop)}
    return Setup(exact.model(widen), {"x": Identity()}, **given), exact


def stored(rows: int) -> Batch:
    return Batch({"x": torch.randn(rows, 4)}, torch.tensor([1.0, 0.0, -2.0]) + torch.randn(rows, 3))


def bound(objective: Any, setup: Setup, seen: Batch, particles: int) -> Tensor:
    found: Tensor = -total(objective(setup.model.trace(seen, particles, Pathwise())))
    return found


@pytest.mark.parametrize("objective", [ELBO(), IWAE()])
@pytest.mark.parametrize("particles", [1, 7])
def test_equal_to_log_p_given_c_where_q_is_exact(objective: Any, particles: int) -> None:
    made, exact = setup()
    seen = made.see(stored(50))
    log_w = made.model.trace(seen, particles, Pathwise()).log_w
    assert_close(log_w, exact.log_p(seen).expand_as(log_w))
    assert_close(bound(objective, made, seen, particles), exact.log_p(seen).mean())


def test_never_above_and_rising_where_q_is_too_wide() -> None:
    made, exact = setup(widen=0.8)
    one = stored(1)
    batch = made.see(Batch({"x": one.x["x"].expand(4000, -1)}, one.c.expand(4000, -1)))
    log_p = exact.log_p(batch)[0]
    draws = {k: log_marginal(made.model, batch, k).log_p for k in (1, 5, 50)}
    assert all(z_scores(each, log_p) < LIMIT for each in draws.values())
    assert (draws[1] - log_p).mean() < (draws[5] - log_p).mean() < (draws[50] - log_p).mean()
    assert z_scores(draws[1], log_p) < -LIMIT  # and the first one is seen to be below


def test_a_row_whose_c_is_withheld_is_bounded_without_it() -> None:
    made, exact = setup(drop=0.5)
    raw = stored(200)
    seen = made.see(raw)
    told, untold = exact.log_p(made.steady(raw)), exact.log_p(made.steady(Batch(raw.x)))
    withheld = (seen.c == 0).all(1)
    assert 60 < withheld.sum() < 140  # by chance once in 10^8
    assert_close(made.model.trace(seen, 1, Pathwise()).log_w[0], torch.where(withheld, untold, told))
