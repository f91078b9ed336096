"""A script that hands a cube from the right arm to the left one."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import final

import numpy as np

from lowerbound.robots.reaching import Arm, Pose
from lowerbound.robots.simulators import Array

LEFT, RIGHT = Arm(-0.469, 0.5, 1), Arm(0.469, 0.5, -1)

DOWN = pi / 3
"""How steeply the right arm takes the cube: flat enough to reach far, steep enough to reach near."""

SIDEWAYS = pi / 2
"""The left gripper is turned by so much that its fingers close above and below, where the right ones are not."""

LYING = 0.02
"""Height of the middle of a cube on the table, metres."""

OPEN, SHUT = 1.0, 0.0


@final
@dataclass(frozen=True)
class Manner:
    """What differs between two ways to do the same: how fast, and where the arms meet (metres)."""

    tempo: float
    meeting: tuple[float, float, float]

    @classmethod
    def drawn(cls, random: np.random.Generator) -> Manner:
        """A manner at random."""
        tempo, x, y, z = random.uniform([0.85, -0.04, 0.48, 0.22], [1.15, 0.04, 0.52, 0.30]).tolist()
        return cls(tempo, (x, y, z))


@final
@dataclass(frozen=True)
class Stage:
    """Where both arms are to be when a stage ends, after so many control steps, and how open."""

    steps: int
    left: Pose
    left_open: float
    right: Pose
    right_open: float

    def joints(self) -> Array:
        """The action (14,) that holds it."""
        return np.concatenate([LEFT.reach(self.left), [self.left_open], RIGHT.reach(self.right), [self.right_open]])


def stages(x: float, y: float, manner: Manner) -> list[Stage]:
    """What is done one after the other, once it is known where the cube lies."""
    taken = Pose(x, y, LYING, DOWN)
    met, given = Pose(*manner.meeting, DOWN), Pose(*manner.meeting, 0.0, SIDEWAYS)
    waiting = LEFT.back(given, 0.12)
    return [
        Stage(80, waiting, OPEN, RIGHT.back(taken, 0.10), OPEN),
        Stage(40, waiting, OPEN, taken, OPEN),
        Stage(20, waiting, OPEN, taken, SHUT),
        Stage(70, waiting, OPEN, met, SHUT),
        Stage(40, given, OPEN, met, SHUT),
        Stage(20, given, SHUT, met, SHUT),
        Stage(15, given, SHUT, met, OPEN),
        Stage(40, LEFT.back(given, 0.08), SHUT, RIGHT.back(met, 0.10), OPEN),
    ]


@final
class Transfer:
    """Told each state, it says what to do next; where the cube is it looks up once, in the first one.

    Between stages joints go smoothly, from rest to rest, and grippers at once. When all is done it stays.
    """

    def __init__(self, manner: Manner) -> None:
        self.manner = manner
        self.plan: Array | None = None
        self.taken = 0

    def __call__(self, state: Array) -> Array:
        """The action (14,) that comes next."""
        if self.plan is None:
            self.plan = planned(state, self.manner)
        self.taken += 1
        return self.plan[min(self.taken, len(self.plan)) - 1]


def planned(state: Array, manner: Manner) -> Array:
    """All actions from a state in which nothing has been done yet; (steps, 14)."""
    path, parts = [np.asarray(state[:14], float)], []
    for stage in stages(float(state[14]), float(state[15]), manner):
        path.append(stage.joints())
        parts.append(between(path[-2], path[-1], round(stage.steps * manner.tempo)))
        parts[-1][:, 6::7] = path[-1][6::7]
    return np.concatenate(parts)


def between(start: Array, end: Array, steps: int) -> Array:
    """From one place (n,) to another, without a jerk at either; (steps, n), the last of which is `end`.

    >>> between(np.zeros(1), np.ones(1), 4).ravel().round(3)
    array([0.156, 0.5  , 0.844, 1.   ])
    """
    t = np.arange(1, steps + 1)[:, None] / steps
    return start + (end - start) * t**2 * (3 - 2 * t)
