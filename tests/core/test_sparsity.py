"""Penalties on activations: their values, the mean that runs over the data, and where the gradient goes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch import distributions as D

from agree import assert_close, refused
from lowerbound.core import (
    Batch,
    L1Activation,
    Latent,
    LayeredPoint,
    MeanActivation,
    Point,
    SparseActivation,
    Trace,
    squared_error,
    standard_normal,
)
from lowerbound.core.certain import PointMass
from lowerbound.core.estimators import detached
from lowerbound.core.sparsity import bernoulli_kl
from lowerbound.errors import InputError
from lowerbound.nets import LayeredEncoder

pytestmark = pytest.mark.usefixtures("double")

WIDTHS = (4, 3)


def model() -> Latent:
    return Latent(
        standard_normal(3), LayeredPoint(LayeredEncoder((5,), WIDTHS, "sigmoid")), squared_error(nn.Linear(3, 5))
    )


def traced(rows: int = 6) -> Trace:
    return model().trace(Batch({"x": torch.randn(rows, 5)}))


def layers(trace: Trace) -> tuple[Tensor, ...]:
    return trace.q.base_dist.layers


def penalty(objective: nn.Module, trace: Trace) -> Tensor:
    (term,) = objective(trace).values()
    return term


def test_the_divergence_is_torchs_between_bernoullis() -> None:
    mean = torch.rand(50)
    expected = D.kl_divergence(D.Bernoulli(torch.full((50,), 0.05)), D.Bernoulli(mean))
    assert_close(bernoulli_kl(0.05, mean), expected, within=1e-12)


def test_a_first_batch_is_penalised_by_its_own_means() -> None:
    """Σ over layers and units, the same for each datum."""
    trace = traced()
    expected = sum(bernoulli_kl(0.05, layer.mean(0)).sum() for layer in layers(trace))
    assert_close(penalty(SparseActivation(WIDTHS, 0.05), trace), expected.expand(6), within=1e-10)


def test_its_gradient_is_that_of_the_batchs_own_means() -> None:
    trace = traced()
    parameters = [layers(trace)[0], layers(trace)[1]]
    expected = torch.autograd.grad(
        sum(bernoulli_kl(0.05, h.mean(0)).sum() for h in parameters), parameters, retain_graph=True
    )
    found = torch.autograd.grad(penalty(SparseActivation(WIDTHS, 0.05), trace).mean(), parameters)
    for mine, true in zip(found, expected):
        assert_close(mine, true, within=1e-10)


def test_the_mean_runs_over_the_data() -> None:
    """At first the mean of all so far; then what `memory` batches weigh."""
    objective, means = SparseActivation(WIDTHS, 0.05, layers=(2,), memory=3), []
    for _ in range(4):
        trace = traced()
        means.append(layers(trace)[1].mean(0).detach())
        objective(trace)
        if len(means) <= 3:
            assert_close(objective.mean, torch.stack(means).mean(0), within=1e-12)
    assert_close(objective.mean, torch.stack(means[:3]).mean(0) * 2 / 3 + means[3] / 3, within=1e-12)


def test_the_slope_is_taken_at_the_running_mean() -> None:
    """d/dh = KL'(ρ̂) / B with ρ̂ of many batches, however far this batch is from it."""
    objective = SparseActivation(WIDTHS, 0.05, layers=(2,), memory=10)
    for _ in range(9):
        objective(traced())
    trace = traced()
    (slope,) = torch.autograd.grad(penalty(objective, trace).mean(), layers(trace)[1])
    rho, mean = 0.05, objective.mean
    expected = (-rho / mean + (1 - rho) / (1 - mean)) / 6
    assert_close(slope, expected.expand(6, 3), within=1e-12)


def test_in_eval_mode_the_data_at_hand_are_measured() -> None:
    objective = SparseActivation(WIDTHS)
    objective(traced())
    kept, trace = objective.mean.clone(), traced()
    with torch.no_grad():
        found = penalty(objective.eval(), trace)
    assert torch.equal(objective.mean, kept)
    assert_close(
        found, sum(bernoulli_kl(0.05, h.mean(0)).sum() for h in layers(trace)).detach().expand(6), within=1e-10
    )


def test_the_mean_survives_a_file_and_a_step_that_was_not_finite() -> None:
    objective, other = SparseActivation(WIDTHS), SparseActivation(WIDTHS)
    objective(traced())
    objective(model().trace(Batch({"x": torch.full((2, 5), math.nan)})))
    assert objective.mean.isfinite().all()
    other.load_state_dict(objective.state_dict())
    assert torch.equal(other.mean, objective.mean)


def test_saturated_units_cost_much_and_can_come_back() -> None:
    objective = SparseActivation((2,), 0.05)
    h = torch.tensor([[0.0, 1.0]], requires_grad=True)
    q = D.Independent(PointMass(h, (h,)), 1)
    trace = Trace(h[None], q, q, {}, Batch({"x": h}), None)
    penalty(objective, trace).sum().backward()
    assert penalty(objective, trace).isfinite().all()
    assert h.grad.isfinite().all()
    assert h.grad[0, 0] < 0 < h.grad[0, 1]


def test_l1_is_a_laplace_prior_but_for_its_constant() -> None:
    trace = traced()
    prior = D.Laplace(0.0, 1.0)
    expected = -sum((prior.log_prob(h) + math.log(2)).sum(-1) for h in layers(trace))
    assert_close(penalty(L1Activation(WIDTHS), trace), expected, within=1e-12)
    assert_close(penalty(L1Activation(WIDTHS, layers=(1,)), trace), layers(trace)[0].abs().sum(-1))


@pytest.mark.parametrize("numbers", [(0,), (3,), ()])
def test_layers_that_are_not_there_are_refused(numbers: tuple[int, ...]) -> None:
    with refused(f"the layers to penalise are numbered from 1 to 2, not {numbers}", InputError):
        SparseActivation(WIDTHS, layers=numbers)


@pytest.mark.parametrize("rho", [0.0, 1.0])
def test_a_mean_activation_of_an_end_is_refused(rho: float) -> None:
    with refused(f"rho is a mean activation, over 0 and under 1, not {rho}", InputError):
        SparseActivation(WIDTHS, rho)


def test_a_posterior_that_keeps_no_layers_is_refused() -> None:
    plain = Latent(standard_normal(3), Point(nn.Linear(5, 3)), squared_error(nn.Linear(3, 5)))
    with refused("a penalty on activations needs a posterior that keeps them; use LayeredPoint"):
        L1Activation((3,))(plain.trace(Batch({"x": torch.randn(2, 5)})))


def test_a_meter_counts_over_all_the_data() -> None:
    meter, traces = MeanActivation(), [traced(2), traced(5)]
    for trace in traces:
        meter.add(trace)
    figures = meter.figures()
    for number in range(2):
        mean = torch.cat([layers(trace)[number] for trace in traces]).mean(0)
        assert figures["mean_activation"][number] == pytest.approx(mean.mean().item())
        assert figures["unit_activation_range"][number] == pytest.approx([mean.min().item(), mean.max().item()])


def test_layers_stay_with_a_point() -> None:
    h = (torch.randn(4, 5, requires_grad=True), torch.randn(4, 3, requires_grad=True))
    point = PointMass(h[1], h)
    assert point.expand((2, 4, 3)).layers is h
    assert point.expand((2, 4, 3)).batch_shape == (2, 4, 3)
    assert not any(layer.requires_grad for layer in detached(point).layers)


def test_a_layered_encoder_is_its_layers_in_turn() -> None:
    net, x, c = LayeredEncoder((2, 3), (5, 4), "tanh", condition=2), torch.randn(7, 2, 3), torch.randn(7, 2)
    first, second = net(x, c)
    expected = net.layers[0][0](torch.cat([x.flatten(1), c], 1)).tanh()
    assert_close(first, expected)
    assert_close(second, net.layers[1][0](expected).tanh())
