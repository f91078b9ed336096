"""The fused step against torch's own parts, and what it does with gradients that are not finite."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lowerbound.errors import InputError
from lowerbound.run.settings import Settings
from lowerbound.training.average import Average
from lowerbound.training.optimiser import Optimiser


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))


def give_gradients(net: nn.Module, seed: int, scale: float = 1.0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        parameter.grad = scale * torch.randn(parameter.shape, generator=generator)


def everything(net: nn.Module, optimiser: Optimiser) -> list[Tensor]:
    return [value.clone() for value in (*net.state_dict().values(), *optimiser.state().values())]


def same(left: list[Tensor], right: list[Tensor]) -> bool:
    return len(left) == len(right) and all(torch.equal(a, b) for a, b in zip(left, right))


@pytest.mark.parametrize("clip", [None, 0.5, 1e6])
def test_steps_equal_those_of_torch_with_clip_grad_norm(clip: float | None) -> None:
    ours, theirs = network(), network()
    optimiser = Optimiser(ours.parameters(), Settings(clip=clip, weight_decay=0.01))
    reference = torch.optim.AdamW(theirs.parameters(), weight_decay=0.01)
    for step in range(5):
        rate = 0.1 / (step + 1)
        give_gradients(ours, step)
        give_gradients(theirs, step)
        if clip is not None:
            nn.utils.clip_grad_norm_(theirs.parameters(), clip)
        reference.param_groups[0]["lr"] = rate
        reference.step()
        optimiser.step(rate)
    for a, b in zip(ours.parameters(), theirs.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_the_norm_told_is_the_one_before_clipping() -> None:
    net = network()
    give_gradients(net, 0)
    expected = torch.cat([p.grad.flatten() for p in net.parameters()]).norm()
    finite, norm = Optimiser(net.parameters(), Settings(clip=1e-3)).step(0.1)
    torch.testing.assert_close(norm, expected)
    assert finite


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("earlier", [0, 2])
def test_a_gradient_that_is_not_finite_changes_nothing(poison: float, clip: float | None, earlier: int) -> None:
    net = network()
    optimiser = Optimiser(net.parameters(), Settings(clip=clip, weight_decay=0.1))
    for step in range(earlier):
        give_gradients(net, step)
        optimiser.step(0.1)
    before = everything(net, optimiser)
    give_gradients(net, 9)
    next(net.parameters()).grad[0, 0] = poison
    finite, _ = optimiser.step(0.1)
    assert not finite
    after = everything(net, optimiser)
    # A first step that is skipped leaves moments of zero behind where there were none.
    assert same(after[: len(before)], before)
    assert all(not value.any() for value in after[len(before) :])


def test_skipped_steps_leave_no_mark_on_those_that_follow() -> None:
    with_gaps, without = network(), network()
    gappy, plain = (Optimiser(net.parameters(), Settings()) for net in (with_gaps, without))
    for seed in range(3):
        give_gradients(with_gaps, 7, float("nan"))
        gappy.step(0.1)
        for net, optimiser in ((with_gaps, gappy), (without, plain)):
            give_gradients(net, seed)
            optimiser.step(0.1)
    assert same(everything(with_gaps, gappy), everything(without, plain))


def test_going_on_from_a_state_gives_the_same_bits() -> None:
    net, twin = network(), network()
    optimiser, other = (Optimiser(n.parameters(), Settings()) for n in (net, twin))
    for step in range(3):
        give_gradients(net, step)
        optimiser.step(0.1)
    twin.load_state_dict(net.state_dict())
    other.load({name: value.clone() for name, value in optimiser.state().items()})
    for n, o in ((net, optimiser), (twin, other)):
        give_gradients(n, 3)
        o.step(0.1)
    assert same(everything(net, optimiser), everything(twin, other))


def test_a_model_without_parameters_is_refused() -> None:
    with pytest.raises(InputError, match="no parameter"):
        Optimiser(nn.Identity().parameters(), Settings())


def test_the_average_follows_its_formula_and_gives_the_weights_back() -> None:
    weight = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    average, expected = Average([weight], 0.9), torch.zeros(3, dtype=torch.float64)
    for step in range(50):
        weight.data.copy_(torch.full((3,), float(step)))
        average.follow(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight.data
    with average.applied():
        torch.testing.assert_close(weight.data, expected)
    assert weight.data.tolist() == [49.0] * 3


def test_the_average_gives_the_weights_back_after_an_error() -> None:
    weight = nn.Parameter(torch.ones(1))
    average = Average([weight], 0.5)
    weight.data.fill_(5.0)
    with pytest.raises(RuntimeError), average.applied():
        raise RuntimeError
    assert weight.item() == 5.0


def test_no_average_is_kept_at_decay_zero() -> None:
    weight = nn.Parameter(torch.ones(1))
    average: Any = Average([weight], 0.0)
    weight.data.fill_(5.0)
    average.follow(0)
    with average.applied():
        assert weight.item() == 5.0
    assert average.state() == {}
