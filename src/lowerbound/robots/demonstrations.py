"""Demonstrations: scripts of simulators at work, kept as episodes where they did what was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import final

import numpy as np

from lowerbound.data.lerobot import Episode, write_episodes
from lowerbound.errors import InputError, LowerboundError
from lowerbound.robots.simulators import Abilities, Array, Simulator, simulator

Watch = Callable[[int, int], None]

PATIENCE = 10
"""A script may fail so often, and half of all its tries besides, before it is given up."""


MEMORY = 0.9
"""How much of a step's disturbance is left at the next: a push lasts about ten steps."""


def performed(world: Simulator, seed: int, shake: float = 0.0) -> Episode:
    """One episode of a simulator's own script, from the first state on to the last action.

    What is done is the action and a disturbance of standard deviation `shake`, and what is recorded is the action: so
    states are seen that a policy will get into by its errors, and how the script goes on from there. Michael Laskey et
    al., "DART: noise injection for robust imitation learning", 2017.
    """
    state, script = world.reset(seed), world.expert()
    pushes = _pushes(np.random.default_rng([seed, 3]), shake, len(world.abilities.actions))
    states, actions, done = [], [], False
    while not done:
        states.append(state)
        actions.append(np.asarray(script(state), np.float32))
        state, _, done = world.step(actions[-1] + next(pushes))
    return Episode(np.stack(states), np.stack(actions), world.abilities.instruction, world.succeeded)


def _pushes(random: np.random.Generator, shake: float, count: int) -> Iterator[Array]:
    """Disturbances (A,), each much like the one before."""
    push = np.zeros(count, np.float32)
    while True:
        yield push
        fresh = shake * np.sqrt(1 - MEMORY**2) * random.standard_normal(count)
        push = (MEMORY * push + fresh).astype(np.float32)


@final
class Demonstrations:
    """The first `episodes` that go well of the seeds `seed`, `seed` + 1, …, of each of several simulators in turn.

    `failed` counts those that did not, which are left out.
    """

    def __init__(
        self, names: Sequence[str], episodes: int, seed: int, watch: Watch | None = None, shake: float = 0.0
    ) -> None:
        self.worlds, self.episodes, self.seed, self.watch = [*map(simulator, names)], episodes, seed, watch
        self.shake = shake
        self.abilities = _shared(self.worlds, names)
        self.failed = self.frames = self.kept = 0

    def __iter__(self) -> Iterator[Episode]:
        for world in self.worlds:
            yield from self._of(world)

    def write(self, folder: Path) -> None:
        """Perform all and write them to a new folder in LeRobot's layout, whole or not at all."""
        mine = self.abilities
        names = {"state_names": mine.states, "action_names": mine.actions}
        write_episodes(folder, self, fps=mine.fps, robot=mine.robot, **names)

    def _of(self, world: Simulator) -> Iterator[Episode]:
        done, seed = 0, self.seed
        while done < self.episodes:
            episode = performed(world, seed, self.shake)
            seed += 1
            if episode.success:
                done += 1
                yield self._counted(episode)
            else:
                self.failed += 1
                _refuse_hopeless(world, seed - self.seed, done)

    def _counted(self, episode: Episode) -> Episode:
        self.kept += 1
        self.frames += len(episode)
        if self.watch:
            self.watch(self.kept, self.episodes * len(self.worlds))
        return episode


def _shared(worlds: Sequence[Simulator], names: Sequence[str]) -> Abilities:
    """What all have in common but for their instructions, which is what one folder can hold."""
    first, *others = [replace(world.abilities, instruction="", steps=0) for world in worlds]
    for name, other in zip(names[1:], others):
        if other != first:
            raise InputError(f"{name} has states or actions other than {names[0]}'s; write each to a folder of its own")
    return first


def _refuse_hopeless(world: Simulator, tried: int, done: int) -> None:
    if tried - done > PATIENCE + tried / 2:
        what = f'the script of "{world.abilities.instruction}" failed {tried - done} times of {tried}'
        raise LowerboundError(f"{what}; see whether this version of mujoco is one it was written for: mujoco 3.3")
