"""Episodes side by side against episodes one by one, and the figures made of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from lowerbound.robots.rollouts import Scripts, roll_out, wilson
from worlds import STEPS, Bead


class Slow:
    """Moves every bead towards its mark by so much of the way, a different share for each row."""

    def __init__(self, shares):
        self.shares = shares
        self.asked = []

    def reset(self, episodes):
        self.asked = []

    def act(self, state):
        self.asked.append(state.copy())
        return (state[:, 1:] - state[:, :1]) * self.shares[:, None]


@pytest.mark.parametrize("task", ["", "short"])
def test_side_by_side_is_one_by_one(task):
    seeds, shares = [5, 6, 7, 8], np.array([0.9, 0.02, 0.6, 0.3])
    together = roll_out([Bead(task) for _ in seeds], seeds, Slow(shares))
    for i, seed in enumerate(seeds):
        alone = roll_out([Bead(task)], [seed], Slow(shares[i : i + 1]))
        for name in ("succeeded", "best", "last", "total", "steps"):
            assert getattr(together, name)[i] == getattr(alone, name)[0], name


def test_an_episode_that_is_over_is_left_as_it_was():
    controller = Slow(np.array([1.0, 0.0]))
    found = roll_out([Bead("short"), Bead("short")], [5, 6], controller)
    assert found.steps.tolist() == [found.steps[0], STEPS]
    assert found.steps[0] < STEPS
    ended = [state[0] for state in controller.asked[found.steps[0] :]]
    assert all(np.array_equal(each, ended[0]) for each in ended)


def test_scripts_do_as_their_worlds_say():
    worlds = [Bead() for _ in range(5)]
    assert roll_out(worlds, range(5), Scripts(worlds)).succeeded.all()


def test_figures_are_what_they_are_called():
    found = roll_out([Bead(), Bead()], [5, 6], Slow(np.array([1.0, 0.0])))
    figures = found.summary()
    assert (figures["episodes"], figures["successes"], figures["success_rate"]) == (2, 1, 0.5)
    assert figures["interval"] == list(wilson(1, 2))
    assert figures["mean_best_reward"] == 0.5
    assert figures["mean_total_reward"] == found.total.sum() / 2
    assert figures["mean_steps"] == STEPS


def test_those_who_watch_are_told_all_steps_and_see_all_worlds():
    told, seen, worlds = [], [], [Bead(), Bead()]
    roll_out(worlds, [0, 1], Scripts(worlds), lambda *each: told.append(each), lambda shown: seen.append(len(shown)))
    assert told == [(i + 1, STEPS) for i in range(STEPS)]
    assert seen == [2] * STEPS


@pytest.mark.parametrize(("wins", "count"), [(0, 5), (3, 7), (45, 50), (50, 50)])
def test_wilson_is_scipys(wins, count):
    expected = binomtest(wins, count).proportion_ci(method="wilson")
    np.testing.assert_allclose(wilson(wins, count), [expected.low, expected.high], atol=1e-7)
