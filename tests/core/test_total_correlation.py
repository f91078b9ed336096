"""The total correlation estimated from a batch: exact where the batch is the data, unbiased in q(z), near Gauss's."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch
from torch import Tensor
from torch import distributions as D
from torch.distributions import Independent

from agree import assert_close, refused
from lowerbound.core import Batch, Pathwise, TotalCorrelation, Trace
from lowerbound.core.total_correlation import decomposition, log_aggregate
from toys import LinearGaussian

pytestmark = pytest.mark.usefixtures("double")


def traced(mean: Tensor, scale: Tensor, z: Tensor | None = None, particles: int = 2) -> Trace:
    """A trace of B posteriors N(mean, scale²) over D dimensions."""
    q = Independent(D.Normal(mean, scale), 1)
    p = Independent(D.Normal(torch.zeros(mean.shape[-1]), 1.0), 1)
    z = q.rsample((particles,)) if z is None else z
    return Trace(z, q, p, {}, Batch({"x": mean}), Pathwise())


def test_with_the_whole_data_as_the_batch_the_aggregate_is_exact() -> None:
    mean, scale = torch.randn(7, 3), torch.rand(7, 3) + 0.2
    trace = traced(mean, scale)
    shares = D.Categorical(logits=torch.zeros(7))
    joint, each = log_aggregate(trace, 7)
    assert_close(joint, D.MixtureSameFamily(shares, Independent(D.Normal(mean, scale), 1)).log_prob(trace.z))
    for d in range(3):
        alone = D.MixtureSameFamily(shares, D.Normal(mean[:, d], scale[:, d]))
        assert_close(each[..., d], alone.log_prob(trace.z[..., d]))


def test_over_all_batches_a_row_can_be_in_the_estimate_is_right_in_mean() -> None:
    mean, scale, rows = torch.randn(6, 2), torch.rand(6, 2) + 0.2, 6
    z = torch.randn(1, 1, 2)
    true = D.MixtureSameFamily(D.Categorical(logits=torch.zeros(rows)), Independent(D.Normal(mean, scale), 1))
    found = []
    for others in combinations(range(1, rows), 2):
        batch = [0, *others]
        trace = traced(mean[batch], scale[batch], z.expand(1, 3, 2))
        found.append(log_aggregate(trace, rows)[0][0, 0].exp())
    assert_close(torch.stack(found).mean(), true.log_prob(z).exp().squeeze())


def test_the_three_parts_add_up_to_the_rate() -> None:
    toy = LinearGaussian()
    trace = toy.model(0.5, 0.3).trace(toy.data(9), 4)
    assert_close(sum(decomposition(trace, 1000)), trace.log_q - trace.log_p)


@pytest.mark.parametrize("correlation", [0.0, 0.6, -0.9])
def test_near_the_known_value_of_a_gaussian(correlation: float) -> None:
    """z|x ~ N(x, ½I) and x Gaussian: q(z) is Gaussian too, and its TC is −½ log(1 − ρ²)."""
    covariance = torch.tensor([[1.0, correlation], [correlation, 1.0]])
    mean = D.MultivariateNormal(torch.zeros(2), covariance).sample((1500,))
    trace = traced(mean, torch.full((1500, 2), 0.5**0.5), particles=1)
    exact = -0.5 * math.log(1 - (correlation / 1.5) ** 2)
    assert_close(TotalCorrelation(1500)(trace)["total_correlation"].mean(), exact, within=0.03)


def test_one_dimension_has_no_total_correlation() -> None:
    trace = traced(torch.randn(5, 1), torch.rand(5, 1) + 0.1)
    assert_close(TotalCorrelation(50)(trace)["total_correlation"], 0.0)


def test_a_single_row_and_a_single_datum_are_finite() -> None:
    for rows in (1, 10):
        trace = traced(torch.randn(1, 3), torch.ones(1, 3))
        assert TotalCorrelation(rows)(trace)["total_correlation"].isfinite().all()


def test_what_cannot_be_estimated_is_refused() -> None:
    with refused("a training set has one row or more, not 0"):
        TotalCorrelation(0)
    q = D.MultivariateNormal(torch.zeros(4, 2), torch.eye(2))
    trace = Trace(q.sample((1,)), q, q, {}, Batch({"x": torch.zeros(4, 1)}), Pathwise())
    with refused("the total correlation needs a posterior factorised over a vector, which 'z' is not"):
        TotalCorrelation(10)(trace)
