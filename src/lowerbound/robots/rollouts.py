"""Policies at work in simulators, many episodes at a time, and how often they do what was asked."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from math import sqrt
from typing import Any, Protocol, TypeAlias, final

import numpy as np

from lowerbound.robots.simulators import Array, Moment, Simulator

Watch = Callable[[int, int], None]
Filming: TypeAlias = Callable[[Sequence[Simulator]], None]


class Controller(Protocol):
    """What acts in n episodes at once."""

    def reset(self, episodes: int) -> None:
        """Forget what was before: `episodes` new ones begin."""

    def act(self, state: Array) -> Array:
        """From states (n, S) to actions (n, A)."""


@final
class Scripts:
    """The simulators' own scripts as a controller: what a policy that learned all would do."""

    def __init__(self, worlds: Sequence[Simulator]) -> None:
        self.worlds = worlds

    def reset(self, episodes: int) -> None:
        self.scripts = [world.expert() for world in self.worlds]

    def act(self, state: Array) -> Array:
        return np.stack([script(each) for script, each in zip(self.scripts, state)])


@final
@dataclass(frozen=True, eq=False)
class Rollouts:
    """What came of some episodes; arrays are (episodes,).

    best, last, total: the highest reward of an episode, the last and the sum. steps: control steps that it took.
    thinking and seconds: of the clock, for the controller alone and for all.
    """

    seeds: Array
    succeeded: Array
    best: Array
    last: Array
    total: Array
    steps: Array
    thinking: float
    seconds: float

    def summary(self) -> dict[str, Any]:
        """The figures, as plain JSON values."""
        wins, count = int(self.succeeded.sum()), len(self.seeds)
        return {
            "episodes": count,
            "successes": wins,
            "success_rate": wins / count,
            "interval": list(wilson(wins, count)),
            **{f"mean_{name}_reward": float(getattr(self, name).mean()) for name in ("best", "last", "total")},
            "mean_steps": float(self.steps.mean()),
            "control_steps_per_second": float(self.steps.sum() / self.seconds),
            "actions_per_second": float(self.steps.sum() / self.thinking),
        }


def roll_out(
    worlds: Sequence[Simulator],
    seeds: Sequence[int],
    controller: Controller,
    watch: Watch | None = None,
    film: Filming | None = None,
) -> Rollouts:
    """One episode in each world, all in step, so that the controller is asked once for all of them.

    `watch` is told how many of the steps that an episode can have are done, `film` is shown the worlds after each.

    The physics of the worlds runs in threads, one a core; the same seeds and controller give the same rollouts.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return _Episodes(worlds, seeds, controller, pool).played(watch, film)


@final
class _Episodes:
    """Episodes under way."""

    def __init__(
        self, worlds: Sequence[Simulator], seeds: Sequence[int], controller: Controller, pool: Executor
    ) -> None:
        self.worlds, self.seeds, self.controller, self.pool = worlds, np.array(seeds), controller, pool
        self.states = np.stack([world.reset(seed) for world, seed in zip(worlds, seeds)])
        self.alive, self.steps = np.ones(len(worlds), bool), np.zeros(len(worlds), int)
        self.rewards: list[Array] = []
        self.thinking = 0.0

    def played(self, watch: Watch | None, film: Filming | None) -> Rollouts:
        """All steps of all episodes."""
        begun = time.perf_counter()
        self.controller.reset(len(self.worlds))
        most = max(world.abilities.steps for world in self.worlds)
        while self.alive.any():
            self._advance()
            if film:
                film(self.worlds)
            if watch:
                watch(len(self.rewards), most)
        return self._found(time.perf_counter() - begun)

    def _advance(self) -> None:
        """One control step of those that are not over; the controller is told all, the ended ones as they ended."""
        begun = time.perf_counter()
        actions = self.controller.act(self.states)
        self.thinking += time.perf_counter() - begun
        rewards, rows = np.full(len(self.worlds), np.nan), np.flatnonzero(self.alive)
        for row, moment in zip(rows, self.pool.map(self._step, rows, actions[rows])):
            self.states[row], rewards[row], self.alive[row] = moment.state, moment.reward, not moment.done
        self.rewards.append(rewards)
        self.steps[rows] += 1

    def _step(self, row: int, action: Array) -> Moment:
        return self.worlds[row].step(action)

    def _found(self, seconds: float) -> Rollouts:
        rewards, wins = np.stack(self.rewards), np.array([world.succeeded for world in self.worlds])
        best, total = np.nanmax(rewards, 0), np.nansum(rewards, 0)
        last = rewards[self.steps - 1, np.arange(len(wins))]
        return Rollouts(self.seeds, wins, best, last, total, self.steps, self.thinking, seconds)


def wilson(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """A 95 % confidence interval for a share of successes that is honest at few trials and near 0 and 1.

    Edwin B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.

    >>> [round(end, 3) for end in wilson(45, 50)]
    [0.786, 0.957]
    >>> [round(end, 3) for end in wilson(50, 50)]
    [0.929, 1.0]
    """
    share, part = successes / trials, z**2 / trials
    middle, half = share + part / 2, z * sqrt(share * (1 - share) / trials + part / (4 * trials))
    return max(0.0, (middle - half) / (1 + part)), min(1.0, (middle + half) / (1 + part))
