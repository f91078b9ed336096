"""How reconstructions look: distances by hand, and who learns from which term."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agree import assert_close
from lowerbound.core import Batch, Constant, EvenLaplace, Gaussian, Latent, Trace, standard_normal
from lowerbound.core.looks import FAINT, PatchAdversary, Perceptual

pytestmark = pytest.mark.usefixtures("double")


class Lines(nn.Module):
    """Two maps of one row of values: the values themselves and their sums by twos."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor) -> list[Tensor]:
        row = self.gain * x.reshape(len(x), 1, 1, -1)
        return [torch.cat([row, 1 - row], 1), row[..., ::2] + row[..., 1::2]]


@pytest.fixture
def model() -> Latent:
    encoder = nn.Sequential(nn.Linear(6, 4), nn.Unflatten(-1, (2, 2)))
    return Latent(standard_normal(2), Gaussian(encoder), EvenLaplace(nn.Linear(2, 6), torch.zeros(())))


def traced(model: Latent, particles: int = 3) -> Trace:
    return model.trace(Batch({"x": torch.rand(4, 6)}), particles)


def test_the_distance_is_that_of_unit_features(model: Latent) -> None:
    trace, features = traced(model), Lines()
    x, made = trace.batch.x["x"].expand(3, 4, 6), trace.px["x"].mean
    by_hand = torch.zeros(3, 4)
    for k in range(3):
        for b in range(4):
            for real, fake in zip(features(x[k, b][None]), features(made[k, b][None])):
                unit = [each / (each.square().sum(1, keepdim=True) + FAINT).sqrt() for each in (real, fake)]
                by_hand[k, b] += 6 * (unit[0] - unit[1]).square().sum(1).mean()
    assert_close(Perceptual(features)(trace)["perceptual"], by_hand.mean(0))


def test_the_features_stay_and_the_model_learns(model: Latent) -> None:
    objective = Perceptual(Lines())
    objective(traced(model))["perceptual"].sum().backward()
    assert not [p for p in objective.parameters() if p.requires_grad]
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


def test_a_perfect_reconstruction_looks_alike_and_a_masked_value_is_not_looked_at(model: Latent) -> None:
    trace = traced(model, 1)
    same = Batch({"x": trace.px["x"].mean[0].detach()})
    exact = Trace(trace.z, trace.q, trace.p, trace.px, same, trace.estimator)
    assert_close(Perceptual(Lines())(exact)["perceptual"], 0.0)
    mask = torch.rand(4, 6) < 0.5
    hidden = torch.where(mask, same.x["x"], torch.nan)
    masked = Trace(trace.z, trace.q, trace.p, trace.px, Batch({"x": hidden}, mask={"x": mask}), trace.estimator)
    assert_close(Perceptual(Lines())(masked)["perceptual"], 0.0)


def test_each_side_of_the_game_learns_from_its_own_term(model: Latent) -> None:
    judge = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    objective, trace = PatchAdversary(judge, Constant(0.5)), traced(model)
    terms = objective(trace)
    for name, learns, rests in (
        ("weighted_adversary", model, judge),
        ("discriminator", judge, model),
    ):
        model.zero_grad()
        judge.zero_grad()
        terms[name].sum().backward(retain_graph=True)
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in learns.parameters() if p.dim() > 1)
        assert all(p.grad is None or p.grad.abs().sum() == 0 for p in rests.parameters())


def test_the_game_by_hand_and_none_where_it_is_measured(model: Latent) -> None:
    judge = nn.Linear(6, 3)
    objective, trace = PatchAdversary(judge, Constant(0.5)), traced(model)
    x, made = trace.batch.x["x"].expand(3, 4, 6), trace.px["x"].mean
    terms = objective(trace)
    assert_close(terms["weighted_adversary"], -0.5 * 6 * judge(made).mean(-1).mean(0))
    hinge = 0.5 * (F.relu(1 - judge(x)) + F.relu(1 + judge(made))).mean(-1).mean(0)
    assert_close(terms["discriminator"], hinge)
    assert objective.eval()(trace) == {}
