"""The discriminator's total correlation: two losses in one sum, each with its own gradient, and the right optimum."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch import distributions as D

from agree import assert_close
from lowerbound.core import AdversarialTotalCorrelation, AnalyticELBO, Trace, total
from lowerbound.core.density_ratio import permuted
from toys import LinearGaussian

pytestmark = pytest.mark.usefixtures("double")


def small(latent: int = 2) -> nn.Module:
    return nn.Sequential(nn.Linear(latent, 5), nn.Tanh(), nn.Linear(5, 1))


def test_one_backward_gives_each_part_its_own_gradient() -> None:
    toy = LinearGaussian()
    model, judge = toy.model(0.5, 0.3), small()
    trace = model.trace(toy.data(6), 3)
    objective = AdversarialTotalCorrelation(judge, 7.0)
    model_parts, judge_parts = list(model.posterior.parameters()), list(judge.parameters())
    torch.manual_seed(1)
    together = torch.autograd.grad(
        total(objective(trace)), [*model_parts, *judge_parts], retain_graph=True, allow_unused=True
    )
    of_the_model = torch.autograd.grad(7.0 * judge(trace.z).mean(), model_parts, retain_graph=True)
    torch.manual_seed(1)
    of_the_judge = torch.autograd.grad(objective.mistake(trace.z.detach()).mean(), judge_parts)
    for found, expected in zip(together, [*of_the_model, *of_the_judge]):
        assert_close(found, expected)


def test_the_mistake_is_the_cross_entropy_of_telling_codes_from_shuffled_ones() -> None:
    judge, z = small(), torch.randn(1, 8, 2)
    torch.manual_seed(1)
    shuffled = permuted(z)
    logits = judge(torch.cat([z, shuffled], 1)).squeeze(-1)
    truth = torch.cat([torch.ones(1, 8), torch.zeros(1, 8)], 1)
    torch.manual_seed(1)
    found = AdversarialTotalCorrelation(judge).mistake(z).mean()
    assert_close(found, nn.functional.binary_cross_entropy_with_logits(logits, truth))


def test_shuffling_keeps_each_dimension_and_parts_them() -> None:
    z = torch.randn(2, 50, 3)
    shuffled = permuted(z)
    assert torch.equal(shuffled.sort(1).values, z.sort(1).values)
    assert not torch.equal(shuffled, z)
    rows = {tuple(row) for row in z.flatten(0, 1).tolist()}
    assert sum(tuple(row) in rows for row in shuffled.flatten(0, 1).tolist()) < 5


def test_in_eval_mode_a_learning_judge_has_no_say() -> None:
    toy = LinearGaussian()
    trace = toy.model().trace(toy.data(4), 2)
    objective = AnalyticELBO() + AdversarialTotalCorrelation(small(), 3.0)
    assert set(objective(trace)) == {"distortion", "rate", "weighted_total_correlation", "discriminator"}
    assert set(objective.eval()(trace)) == {"distortion", "rate"}


class Quadratic(nn.Module):
    """All the log ratio of a Gaussian to the product of its marginals can be."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(4, 1))

    def forward(self, z: Tensor) -> Tensor:
        a, b = z.unbind(-1)
        return torch.stack([a * a, b * b, a * b, torch.ones_like(a)], -1) @ self.weights


def test_a_trained_discriminator_gives_the_total_correlation() -> None:
    """Of a Gaussian with correlation ρ: −½ log(1 − ρ²)."""
    rho, judge = 0.7, Quadratic()
    objective = AdversarialTotalCorrelation(judge)
    z = D.MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, rho], [rho, 1.0]])).sample((1, 40_000))
    optimiser = torch.optim.LBFGS(judge.parameters(), max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        torch.manual_seed(7)
        optimiser.zero_grad()
        mistake = objective.mistake(z).mean()
        mistake.backward()
        return mistake

    optimiser.step(loss)
    assert_close(judge(z).mean(), -0.5 * math.log(1 - rho**2), within=0.02)


def test_codes_of_several_names_are_judged_together() -> None:
    toy = LinearGaussian(latent=1)
    a, b = (toy.model().trace(toy.data(5), 2) for _ in range(2))
    both = Trace({"a": a.z, "b": b.z}, {"a": a.q, "b": b.q}, {"a": a.p, "b": b.p}, a.px, a.batch, a.estimator)
    judge = small()
    found = AdversarialTotalCorrelation(judge)(both)["weighted_total_correlation"]
    assert_close(found, judge(torch.cat([a.z, b.z], -1)).squeeze(-1).mean(0))
