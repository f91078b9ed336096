"""Simulators by name: what a robot sees, what it may do, and whether it did what was asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from lowerbound.errors import InputError

Array: TypeAlias = np.ndarray[Any, Any]

Expert: TypeAlias = Callable[[Array], Array]
"""A script that does the task once: from the state (S,) of the moment to the action (A,) to take."""


class Moment(NamedTuple):
    """What one control step led to."""

    state: Array
    """(S,), as float32."""
    reward: float
    done: bool
    """The episode is over; whether it went well is the simulator's `succeeded`."""


@dataclass(frozen=True)
class Abilities:
    """What is always so of a simulator, and is written beside its demonstrations."""

    robot: str
    """The robot's type, as LeRobot's data sets name it."""
    instruction: str
    """The task in words."""
    states: tuple[str, ...]
    """A name for each number of a state."""
    actions: tuple[str, ...]
    """A name for each number of an action."""
    fps: int
    """Control steps a second of simulated time."""
    steps: int
    """Control steps of an episode."""


class Simulator(ABC):
    """One robot in one world, and one task; the same seed and the same actions lead to the same states."""

    abilities: Abilities

    @property
    @abstractmethod
    def succeeded(self) -> bool:
        """Whether the task has been done at any moment of this episode so far."""

    @abstractmethod
    def reset(self, seed: int) -> Array:
        """Begin an episode, all of whose randomness is fixed by `seed`; the first state (S,), as float32."""

    @abstractmethod
    def step(self, action: Array) -> Moment:
        """Let an action (A,) rule for one control step."""

    @abstractmethod
    def render(self) -> Array:
        """The world as a camera sees it now; (H, W, 3) of uint8."""

    @abstractmethod
    def expert(self) -> Expert:
        """The script of the episode just begun; its manner is drawn by the episode's seed."""


def aloha(task: str) -> Simulator:
    """Two arms and a cube."""
    from lowerbound.robots.aloha import TransferCube

    _refuse_task("aloha-transfer-cube", task)
    return TransferCube()


def metaworld(task: str) -> Simulator:
    """One arm at a table of several things."""
    from lowerbound.robots.metaworld import Table

    return Table(task)


@dataclass(frozen=True)
class Family:
    """Simulators whose names begin alike: what makes one, told the rest of its name; its robot; what it is about."""

    make: Callable[[str], Simulator]
    robot: str
    about: str


FAMILIES: Mapping[str, Family] = {
    "aloha-transfer-cube": Family(aloha, "aloha", "two arms: the right one takes a cube and hands it to the left one"),
    "metaworld": Family(metaworld, "sawyer", "an arm at a table: metaworld/drawer-open, metaworld/push and others"),
}
"""By the part of a name before the first slash."""


def simulator(name: str) -> Simulator:
    """A simulator by name.

    Raises:
        InputError: when there is none of that name.
        MissingExtraError: when its packages are not installed.

    Example:
        >>> simulator("aloha")
        Traceback (most recent call last):
        ...
        lowerbound.errors.InputError: there is no simulator "aloha"; there is: aloha-transfer-cube, metaworld
    """
    family, _, task = name.partition("/")
    if family not in FAMILIES:
        raise InputError(f'there is no simulator "{name}"; there is: {", ".join(FAMILIES)}')
    return FAMILIES[family].make(task)


def named_for(form: str | None) -> str:
    """The simulator that demonstrations must be of, by the form of their actions.

    >>> named_for("lerobot:50:aloha")
    'aloha-transfer-cube'

    Raises:
        InputError: of none, or of one of several.
    """
    robot = (form or "").rpartition(":")[2]
    known = [name for name, family in FAMILIES.items() if family.robot == robot]
    if known != ["aloha-transfer-cube"]:
        where = f"of {known[0]}; say of which task: --simulator {known[0]}/TASK" if known else "unknown; name it"
        raise InputError(f"where the demonstrations were made is {where}")
    return "aloha-transfer-cube"


def _refuse_task(family: str, task: str) -> None:
    if task:
        raise InputError(f'{family} is one task, and takes none after the slash: not "{task}"')
