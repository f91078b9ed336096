"""The fused categorical against torch's, in value, gradient and draws."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch import distributions as D

from agree import assert_close, assert_mean
from lowerbound.core import Categorical, categorical
from lowerbound.core.categorical import LogitCategorical, log_mass

pytestmark = pytest.mark.usefixtures("double")


def pair(*shape: int) -> tuple[LogitCategorical, D.Categorical, Tensor, Tensor]:
    logits = 3 * torch.randn(*shape)
    one, other = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    return LogitCategorical(one), D.Categorical(logits=other), one, other


@pytest.fixture(params=[8, categorical.CACHED], ids=["in pieces", "whole"])
def cached(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(categorical, "CACHED", request.param)


@pytest.mark.usefixtures("cached")
@pytest.mark.parametrize("lead", [(), (4,), (5, 4), (7, 5, 4)])
def test_it_is_torchs_in_value_and_gradient(lead: tuple[int, ...]) -> None:
    """Values as they are, fewer than the logits (particles), and more of them (draws)."""
    ours, torchs, one, other = pair(5, 4, 6)
    x = torch.randint(0, 6, lead).double()
    assert_close(ours.log_prob(x).detach(), torchs.log_prob(x).detach())
    ours.log_prob(x).square().sum().backward()
    torchs.log_prob(x).square().sum().backward()
    assert_close(one.grad, other.grad)


def test_its_figures_are_torchs() -> None:
    ours, torchs, _, _ = pair(5, 4, 6)
    for name in ("probs", "logits", "mode"):
        assert_close(getattr(ours, name).detach(), getattr(torchs, name).detach())
    assert_close(ours.entropy().detach(), torchs.entropy().detach())
    assert torch.equal(ours.enumerate_support(), torchs.enumerate_support())
    assert (ours.batch_shape, ours.event_shape, ours.param_shape) == (torchs.batch_shape, (), torchs.param_shape)
    wide = ours.expand((3, 5, 4))
    assert wide.batch_shape == (3, 5, 4)
    assert_close(wide.log_prob(torch.zeros(4)).detach(), torchs.log_prob(torch.zeros(4)).expand(3, 5, 4).detach())


def test_divergences_take_it_for_what_it_is() -> None:
    ours, torchs, _, _ = pair(5, 4)
    more, others, _, _ = pair(5, 4)
    assert_close(D.kl_divergence(ours, more).detach(), D.kl_divergence(torchs, others).detach())


def test_draws_are_as_frequent_as_they_are_probable() -> None:
    """Four frequencies at 4.5 standard errors: one in 37 000 to fail by chance."""
    logits = torch.randn(4)
    drawn = LogitCategorical(logits).sample((50_000,))
    assert_mean(torch.nn.functional.one_hot(drawn, 4).double(), logits.softmax(-1))


@pytest.mark.usefixtures("cached")
def test_sums_over_thousands_of_symbols_are_in_single_precision_at_least() -> None:
    logits = torch.randn(3, 8000)
    exact = log_mass(logits, torch.arange(3))
    rough = LogitCategorical(logits.bfloat16()).log_prob(torch.arange(3.0))
    assert rough.dtype == torch.float32
    assert_close(rough.double(), log_mass(logits.bfloat16().double(), torch.arange(3)), within=1e-5)
    assert_close(LogitCategorical(logits.float()).log_prob(torch.arange(3.0)).double(), exact, within=1e-5)


@pytest.mark.usefixtures("cached")
def test_gradients_keep_the_type_of_the_logits() -> None:
    h = torch.randn(30, 6).bfloat16().requires_grad_()
    log_mass(h, torch.arange(30) % 6).sum().backward()
    exact = torch.nn.functional.one_hot(torch.arange(30) % 6, 6) - h.detach().double().softmax(-1)
    assert h.grad.dtype == torch.bfloat16
    assert_close(h.grad.double(), exact, within=4e-3)


def test_each_datum_of_a_batch_may_have_a_gradient_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under torch.func, piece by piece as well."""
    monkeypatch.setattr(categorical, "CACHED", 4)
    h, codes = torch.randn(3, 2, 5), torch.randint(0, 5, (3, 2))
    found = torch.func.vmap(torch.func.grad(lambda each, code: log_mass(each, code).sum()))(h, codes)
    assert_close(found, torch.nn.functional.one_hot(codes, 5) - h.softmax(-1))


@pytest.mark.usefixtures("cached")
def test_gradients_of_gradients_are_torchs() -> None:
    x = torch.randint(0, 4, (5,)).double()
    assert torch.autograd.gradcheck(lambda h: LogitCategorical(h).log_prob(x), torch.randn(5, 4, requires_grad=True))
    assert torch.autograd.gradgradcheck(
        lambda h: LogitCategorical(h).log_prob(x), torch.randn(5, 4, requires_grad=True)
    )


def test_a_column_of_one_symbol_is_certain() -> None:
    assert Categorical(torch.nn.Identity(), 1)(torch.randn(4, 3)).log_prob(torch.zeros(4, 3)).eq(0).all()
