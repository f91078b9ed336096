"""The Bernoulli's mass of whole events: its value, its gradient and that gradient's own, however it is cut up."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent

from lowerbound.core import bernoulli
from lowerbound.core.bernoulli import LogitBernoulli, bernoulli_log_mass
from lowerbound.core.observation import observed_log_prob

SHAPES = [((3, 4, 7), (4, 7)), ((4, 7), (4, 7)), ((7,), (7,)), ((2, 3, 4, 7), (4, 7)), ((2, 3, 4, 7), (3, 4, 7))]


def drawn(logits: tuple[int, ...], value: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    return (3 * torch.randn(logits)).requires_grad_(), torch.randint(0, 2, value).to(torch.get_default_dtype())


def plain(logits: Tensor, value: Tensor) -> Tensor:
    return LogitBernoulli(logits).log_prob(value).sum(-1)


@pytest.fixture(params=[1, 5, 20, 40])
def cut(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row at a time, some rows, some particles; the smallest logits then go by the plain form."""
    monkeypatch.setattr(bernoulli, "CACHED", request.param)


@pytest.mark.usefixtures("double", "cut")
@pytest.mark.parametrize(("logits", "value"), SHAPES)
def test_value_and_both_derivatives_are_right(logits: tuple[int, ...], value: tuple[int, ...]) -> None:
    leaf, x = drawn(logits, value)
    torch.testing.assert_close(bernoulli_log_mass(leaf, x), plain(leaf, x), rtol=1e-13, atol=1e-12)
    assert torch.autograd.gradcheck(bernoulli_log_mass, (leaf, x))
    assert torch.autograd.gradgradcheck(bernoulli_log_mass, (leaf, x))


@pytest.mark.parametrize("value", [(1, 7), (4, 1, 7), (0, 7)])
def test_other_shapes_broadcast_as_ever(value: tuple[int, ...]) -> None:
    leaf, x = drawn((4, value[0] and 4, 7), value)
    torch.testing.assert_close(bernoulli_log_mass(leaf, x), plain(leaf, x))


def test_values_that_are_differentiated_get_their_gradient() -> None:
    leaf, x = drawn((3, 4, 7), (4, 7))
    (slope,) = torch.autograd.grad(bernoulli_log_mass(leaf, x.requires_grad_()).sum(), x)
    assert slope.abs().min() > 0


@pytest.mark.usefixtures("cut")
def test_gradients_of_each_datum_can_be_mapped() -> None:
    leaf, x = drawn((3, 4, 7), (4, 7))
    one = torch.func.grad(lambda logits, value: bernoulli_log_mass(logits, value).sum())
    each = torch.func.vmap(one, (1, 0), 1)(leaf.detach(), x)
    torch.testing.assert_close(each, one(leaf.detach(), x))


@pytest.mark.usefixtures("cut")
def test_an_extreme_gradient_is_finite() -> None:
    logits = torch.tensor([torch.inf, -torch.inf, 1e4, -1e4]).requires_grad_()
    bernoulli_log_mass(logits, torch.tensor([1.0, 0.0, 0.0, 1.0])).backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [0, 0, -1, 1]


@pytest.mark.usefixtures("cut")
def test_rough_logits_are_widened_where_they_are_read() -> None:
    """The mass and its gradient are those of the same logits in float32, the gradient rounded once at the end."""
    leaf, x = drawn((3, 4, 7), (4, 7))
    rough = leaf.detach().bfloat16().requires_grad_()
    wide = rough.detach().float().requires_grad_()
    mass, expected = (observed_log_prob(Independent(LogitBernoulli(each), 1), x, None) for each in (rough, wide))
    assert mass.dtype == torch.float32
    assert torch.equal(mass, expected)
    (mass.sum() + expected.sum()).backward()
    assert rough.grad is not None
    assert wide.grad is not None
    assert torch.equal(rough.grad, wide.grad.bfloat16())
    assert LogitBernoulli(rough).mean.dtype == LogitBernoulli(rough).logits.dtype == torch.float32
