"""The squared Jacobian: against autograd's, in every mode, and by probes in the mean."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agree import assert_close, assert_mean
from lowerbound.core import Contractive, Exact, OneLayer, Probed
from lowerbound.nets import ACTIVATIONS, encoder

pytestmark = pytest.mark.usefixtures("double")


def by_autograd(f: Any, u: Tensor) -> Tensor:
    """Σ of squares of `torch.autograd.functional.jacobian`, a row at a time."""
    jacobian = torch.autograd.functional.jacobian
    return torch.stack([jacobian(lambda v: f(v[None])[0], row).square().sum() for row in u])


@pytest.mark.parametrize("net", ["mlp", "conv", "resnet"])
def test_exact_is_autograds_jacobian_where_the_code_is_narrow(net: str) -> None:
    f, u = encoder(net, (8, 8), 5, (4, 6, 8), "silu"), torch.randn(3, 8, 8)
    assert_close(Exact(f)(u), by_autograd(f, u), within=1e-10)


def test_exact_is_autograds_jacobian_where_the_code_is_wide() -> None:
    f, u = nn.Sequential(nn.Linear(2, 9), nn.Tanh(), nn.Unflatten(-1, (3, 3))), torch.randn(4, 2)
    assert_close(Exact(f)(u), by_autograd(f, u), within=1e-10)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_closed_form_of_one_layer(activation: str) -> None:
    linear, nonlinearity = nn.Linear(12, 5), ACTIVATIONS[activation]()
    u = torch.randn(4, 3, 4)
    expected = by_autograd(lambda v: nonlinearity(linear(v.flatten(1))), u)
    assert_close(OneLayer(linear, nonlinearity)(u), expected, within=1e-10)


def test_the_sigmoids_closed_form_is_the_papers() -> None:
    """Σ_j (h_j (1 − h_j))² Σ_i W_ji²."""
    linear, u = nn.Linear(6, 4), torch.randn(5, 6)
    h = linear(u).sigmoid()
    expected = ((h * (1 - h)).square() * linear.weight.square().sum(1)).sum(1)
    assert_close(OneLayer(linear, nn.Sigmoid())(u), expected)


def test_float32_agrees_to_a_millionth() -> None:
    torch.set_default_dtype(torch.float32)
    linear, u = nn.Linear(784, 32), torch.rand(4, 784)
    expected = by_autograd(lambda v: linear(v).sigmoid(), u)
    for norm in (OneLayer(linear, nn.Sigmoid()), Exact(nn.Sequential(linear, nn.Sigmoid()))):
        assert_close(norm(u) / expected, 1.0, within=1e-6)


@pytest.mark.parametrize("probes", [1, 3])
def test_probes_are_right_in_the_mean(probes: int) -> None:
    f, u = nn.Sequential(nn.Linear(6, 8), nn.SiLU(), nn.Linear(8, 3)), torch.randn(2, 6)
    drawn = Probed(f, probes)(u.repeat(4000, 1)).detach()
    assert_mean(drawn.reshape(4000, 2), Exact(f)(u).detach())


@pytest.mark.parametrize("mode", ["exact", "one layer", "probed"])
def test_it_is_the_same_without_gradient(mode: str) -> None:
    linear = nn.Linear(6, 3)
    f = nn.Sequential(linear, nn.Tanh())
    norm = {"exact": Exact(f), "one layer": OneLayer(linear, f[1]), "probed": Probed(f)}[mode]
    u, found = torch.randn(4, 6), []
    for grad in (True, False):
        torch.manual_seed(0)
        with torch.set_grad_enabled(grad):
            found.append(norm(u))
    assert found[0].requires_grad
    assert not found[1].requires_grad
    assert_close(found[0].detach(), found[1])


def test_its_gradient_is_that_of_the_jacobian() -> None:
    linear, u = nn.Linear(6, 3), torch.randn(4, 6)
    f, gradients = nn.Sequential(linear, nn.Tanh()), []
    for norm in (Exact(f), OneLayer(linear, f[1])):
        gradients.append(torch.autograd.grad(norm(u).sum(), list(linear.parameters())))
    h = linear(u).tanh()
    by_hand = ((1 - h.square()).square() * linear.weight.square().sum(1)).sum()
    expected = torch.autograd.grad(by_hand, list(linear.parameters()))
    for found in gradients:
        for mine, true in zip(found, expected):
            assert_close(mine, true, within=1e-10)


def test_the_network_stays_the_models() -> None:
    """Else its weights would be saved twice."""
    net = nn.Linear(3, 2)
    objective = 0.1 * Contractive(Exact(net), at=lambda trace: trace.batch.x["x"])
    assert not list(objective.parameters())
    assert not objective.state_dict()
