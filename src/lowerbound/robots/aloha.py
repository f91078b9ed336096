"""ALOHA in simulation: two arms of six joints hand a cube from one to the other."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, final

import numpy as np

from lowerbound.errors import MissingExtraError
from lowerbound.robots.cameras import picture
from lowerbound.robots.physics import broken, physics
from lowerbound.robots.simulators import Abilities, Array, Expert, Moment, Simulator
from lowerbound.robots.transfer import Manner, Transfer

JOINTS = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate", "gripper")
ARMS = tuple(f"{arm}_{joint}" for arm in ("left", "right") for joint in JOINTS)
CUBE = tuple(f"cube_{name}" for name in ("x", "y", "z", "qw", "qx", "qy", "qz"))

REST = (0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 0.02239, -0.02239)
"""An arm's joints, radians, and its two fingers, metres, when an episode begins."""

SHUT, WIDE = 0.01844, 0.05800
"""A finger's place, metres, that an action calls 0 and 1."""

SUBSTEPS = 10
"""Steps of the physics, 2 ms each, to a control step."""


@final
class TransferCube(Simulator):
    """The right arm takes a cube off the table and hands it to the left one.

    A state is the 14 joints of both arms (radians; grippers 0 shut to 1 wide) and where the cube is (metres, and a
    quaternion); an action is 14 joints to aim for, 50 of them a second. The reward is 1 where the right gripper
    touches the cube, 2 where the cube has left the table too, 3 where the left gripper touches it, 4 where it does
    and the cube is off the table: then the task is done. Episodes have 400 steps whether or not it is, fewer only where
    actions are so wild that physics gives way. A seed puts the cube where gym-aloha's own environment puts it.

    Zhao, Kumar, Levine and Finn, "Learning fine-grained bimanual manipulation with low-cost hardware" (2023). Model of
    the arms: the package gym-aloha (Apache-2.0), of which only that is used: the simulation is asked directly, and
    draws no pictures unless `render` is called.
    """

    abilities = Abilities(
        robot="aloha",
        instruction="Pick up the cube with the right arm and transfer it to the left arm.",
        states=ARMS + CUBE,
        actions=ARMS,
        fps=50,
        steps=400,
    )

    def __init__(self) -> None:
        self.physics = physics()
        self.model = _model()
        self.data = self.physics.MjData(self.model)
        self.cube = self.model.geom("red_box").id
        self.others = {self.model.geom(name).id: name for name in TOUCHING}
        self.reset(0)

    @property
    def succeeded(self) -> bool:
        return self.best == 4

    def reset(self, seed: int) -> Array:
        self.seed, self.taken, self.best = seed, 0, 0
        place = np.random.RandomState(seed).uniform([0.0, 0.4, 0.05], [0.2, 0.6, 0.05])
        self.physics.mj_resetData(self.model, self.data)
        self.data.qpos[:] = np.concatenate([REST, REST, place, [1.0, 0.0, 0.0, 0.0]])
        self.data.ctrl[:] = [*REST, *REST]
        self.physics.mj_forward(self.model, self.data)
        return self._state()

    def step(self, action: Array) -> Moment:
        self.data.ctrl[:] = _motors(np.asarray(action, np.float64))
        self._let_pass()
        self.taken += 1
        lost = broken(self.data)
        reward = 0 if lost else _reward(self._touched())
        self.best = max(self.best, reward)
        return Moment(self._state(), float(reward), lost or self.taken >= self.abilities.steps)

    def render(self) -> Array:
        return picture(self.model, self.data, "angle")

    def expert(self) -> Expert:
        return Transfer(Manner.drawn(np.random.default_rng([self.seed, 1])))

    def _let_pass(self) -> None:
        """One control step, after which contacts are those of the present and not of 2 ms ago."""
        self.physics.mj_step2(self.model, self.data)
        self.physics.mj_step(self.model, self.data, SUBSTEPS - 1)
        self.physics.mj_step1(self.model, self.data)

    def _state(self) -> Array:
        q = self.data.qpos
        arms = [np.append(arm[:6], (arm[6] - SHUT) / (WIDE - SHUT)) for arm in (q[:8], q[8:16])]
        return np.concatenate([*arms, q[16:]]).astype(np.float32)

    def _touched(self) -> set[str]:
        """What the cube is in contact with, of what counts."""
        pairs = self.data.contact.geom if hasattr(self.data.contact, "geom") else _pairs(self.data.contact)
        beside = pairs[(pairs == self.cube).any(1)].ravel().tolist()
        return {self.others[geom] for geom in beside if geom in self.others}


RIGHT, LEFT, TABLE = "vx300s_right/10_right_gripper_finger", "vx300s_left/10_left_gripper_finger", "table"
TOUCHING = (RIGHT, LEFT, TABLE)
"""One finger of each arm stands for its gripper: a cube that is held touches both."""


def _reward(touched: set[str]) -> int:
    lifted = TABLE not in touched
    if LEFT in touched:
        return 4 if lifted else 3
    return (2 if lifted else 1) if RIGHT in touched else 0


def _motors(action: Array) -> Array:
    """Joints (14,) to aim for as places (16,) for the motors, of which a gripper has two."""
    fingers = SHUT + action[6::7] * (WIDE - SHUT)
    return np.concatenate([[*action[i : i + 6], finger, -finger] for i, finger in zip((0, 7), fingers)])


def _pairs(contacts: Any) -> Array:
    return np.array([(each.geom1, each.geom2) for each in contacts], dtype=int).reshape(-1, 2)


@cache
def _model() -> Any:
    """The world, the same for all simulators of a process."""
    found = find_spec("gym_aloha")
    if found is None or found.origin is None:
        raise MissingExtraError("gym-aloha", "robot")
    world = Path(found.origin).parent / "assets" / "bimanual_viperx_transfer_cube.xml"
    return physics().MjModel.from_xml_path(str(world))
