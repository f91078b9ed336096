"""A world small enough to work out by hand: a bead on a line that is to be brought to a mark."""

from __future__ import annotations

from typing import final

import numpy as np
import pytest

from lowerbound.robots.simulators import FAMILIES, Abilities, Array, Expert, Family, Moment, Simulator

STEPS = 12


@final
class Bead(Simulator):
    """States are bead and mark; an action moves the bead by up to 0.5. Of task "slippery" every third seed fails."""

    def __init__(self, task: str = "") -> None:
        self.abilities = Abilities(
            "bead", f"Bring it to the mark {task}".strip(), ("bead", "mark"), ("move",), 10, STEPS
        )
        self.task = task

    @property
    def succeeded(self) -> bool:
        return self.met

    def reset(self, seed: int) -> Array:
        self.met, self.taken, self.stuck = False, 0, self.task == "slippery" and seed % 3 == 0
        self.state = np.random.default_rng(seed).uniform(-1, 1, 2).astype(np.float32)
        return self.state.copy()

    def step(self, action: Array) -> Moment:
        self.taken += 1
        if not self.stuck:
            self.state[0] += np.clip(action[0], -0.5, 0.5)
        near = abs(self.state[0] - self.state[1]) < 0.05
        self.met = self.met or bool(near)
        return Moment(self.state.copy(), float(near), self.taken >= STEPS or (self.task == "short" and self.met))

    def render(self) -> Array:
        picture = np.zeros((8, 16, 3), np.uint8)
        picture[:, int(np.clip(8 + 6 * self.state[0], 0, 15))] = 255
        return picture

    def expert(self) -> Expert:
        return lambda state: np.clip(state[1:] - state[:1], -0.5, 0.5)


@pytest.fixture
def beads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The world by the name bead."""
    monkeypatch.setitem(FAMILIES, "bead", Family(Bead, "bead", "a bead on a line"))  # type: ignore[arg-type]
