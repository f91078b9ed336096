"""Weights that change with the step."""

from __future__ import annotations

import pytest
import torch

from agree import refused
from lowerbound.core import Constant, Cyclical, Schedule, Since, WarmUp


def over(schedule: Schedule, steps: list[int]) -> list[float]:
    return [round(float(schedule(torch.tensor(step))), 6) for step in steps]


def test_constant() -> None:
    assert over(Constant(0.25), [0, 10, 10**6]) == [0.25] * 3
    assert Constant(3)() == 3.0


def test_warm_up_rises_evenly_and_stays() -> None:
    assert over(WarmUp(4, value=2.0), [0, 1, 2, 3, 4, 5, 1000]) == [0.0, 0.5, 1.0, 1.5, 2.0, 2.0, 2.0]
    assert over(WarmUp(1), [0, 1]) == [0.0, 1.0]


def test_cycles_rise_hold_and_start_again() -> None:
    assert over(Cyclical(8, value=4.0, rising=0.5), list(range(10))) == [0, 1, 2, 3, 4, 4, 4, 4, 0, 1]
    assert over(Cyclical(4, rising=1.0), [0, 1, 2, 3, 4]) == [0.0, 0.25, 0.5, 0.75, 0.0]


@pytest.mark.parametrize("schedule", [Constant(0.5), WarmUp(10, 0.5), Cyclical(10, 0.5)])
def test_without_a_step_a_schedule_stands_at_its_final_value(schedule: Schedule) -> None:
    assert schedule() == 0.5
    assert schedule().shape == schedule(torch.tensor(3)).shape == ()


@pytest.mark.parametrize("schedule", [Constant(0.5), WarmUp(10, 0.5), Cyclical(10, 0.5)])
def test_schedules_keep_nothing_and_follow_their_module(schedule: Schedule) -> None:
    assert not schedule.state_dict()
    assert schedule.to("meta")(torch.tensor(3, device="meta")).device.type == "meta"


@pytest.mark.parametrize("step", [torch.tensor(3), torch.tensor(3.0), torch.tensor(3, dtype=torch.int32)])
def test_steps_may_be_whole_numbers_of_any_type(step: torch.Tensor) -> None:
    assert float(WarmUp(12)(step)) == 0.25


@pytest.mark.parametrize("build", [WarmUp, Cyclical])
def test_a_schedule_of_no_steps_is_refused(build: type) -> None:
    with refused("a schedule needs at least one step, not 0"):
        build(0)


@pytest.mark.parametrize("rising", [0.0, -0.5, 1.5])
def test_a_rise_is_a_share_of_the_period(rising: float) -> None:
    with refused(f"rising is a share of the period, over 0 and at most 1, not {rising}"):
        Cyclical(10, rising=rising)


def test_after_its_cycles_a_schedule_holds() -> None:
    assert over(Cyclical(4, cycles=2), list(range(10))) == [0, 0.5, 1, 1, 0, 0.5, 1, 1, 1, 1]


def test_nothing_until_it_begins_and_then_a_straight_line() -> None:
    weight = Since(2.0)
    assert over(weight, [0, 10**6]) == [0.0, 0.0]
    weight.begin(10, over=4)
    assert over(weight, [0, 10, 11, 14, 15]) == [0.0, 0.0, 0.5, 2.0, 2.0]
    assert weight() == 2.0
    weight.begin(20, over=0)
    assert over(weight, [19, 20, 21]) == [0.0, 2.0, 2.0]


def test_when_a_schedule_began_is_kept_with_the_weights() -> None:
    told, fresh = Since(), Since()
    told.begin(7, over=2)
    fresh.load_state_dict(told.state_dict())
    assert over(fresh, [7, 8, 9]) == [0.0, 0.5, 1.0]
