"""Meta-World's table: one robot arm, four things to handle, and seven tasks of which the state does not tell."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, final

import numpy as np

from lowerbound.errors import InputError, MissingExtraError
from lowerbound.robots.cameras import picture
from lowerbound.robots.instructions import INSTRUCTIONS
from lowerbound.robots.physics import physics
from lowerbound.robots.simulators import Abilities, Array, Expert, Moment, Simulator

PLACES = ("hand", "drawer", "window", "button", "puck", "mark")
STATES = (*(f"{place}_{axis}" for place in PLACES for axis in "xyz"), "gripper")
ACTIONS = ("hand_dx", "hand_dy", "hand_dz", "gripper")

LOW, HIGH = np.array([-0.5, 0.4, 0.05]), np.array([0.5, 1.0, 0.5])
"""Where the hand can be, metres."""

LIFT = (0.0, 0.0, 0.2)
"""From the mark on the table to where a puck is lifted to."""

STEP = 0.01
"""Metres that an action of 1 moves the hand."""

UNSTEADY = 0.2
"""Standard deviation of what is added to the script's every action, so that demonstrations also show a way back."""


@final
@dataclass(frozen=True)
class Task:
    """Whose script of Meta-World's does it, what the script takes for its object, off the place in the state by so
    much, and what it takes for its goal, off the mark."""

    script: str
    place: str
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    goal: tuple[float, float, float] = (0.0, 0.0, 0.0)


TASKS: Mapping[str, Task] = {
    "drawer-open": Task("SawyerDrawerOpenV3Policy", "drawer"),
    "drawer-close": Task("SawyerDrawerCloseV3Policy", "drawer", (0.0, 0.0, 0.05)),
    "window-open": Task("SawyerWindowOpenV3Policy", "window", (-0.025, 0.0, 0.0)),
    "window-close": Task("SawyerWindowCloseV3Policy", "window", (0.025, 0.0, 0.0)),
    "button-press": Task("SawyerButtonPressV3Policy", "button"),
    "push": Task("SawyerPushV3Policy", "puck"),
    "pick-place": Task("SawyerPickPlaceV3Policy", "puck", goal=LIFT),
}


@final
class Table(Simulator):
    """A Sawyer arm at a table with a drawer and a window, both half open, a button, a puck and a mark.

    Robot, things and scripts are Meta-World's; that all things stand on one table, where its own environments have
    one each, is not. So a state says where all of them are (metres) and how far the gripper is open (0 to 1), and
    nothing about which of the seven tasks is to be done: what a seed draws does not depend on the task either, and
    only words tell. An action moves the hand by up to 1 cm along each axis (−1 to 1), and opens (−1) or shuts (1) the
    gripper; 80 of them a second. Places of all things, of the hand and of the mark are drawn by the seed, and so is
    the instruction, of the task's phrasings to train with.

    Done is: drawer and window within 3 cm of open or closed, of 16 and 20; the button in by 4 of its 6 cm; the puck
    within 5 cm of the mark; the puck within 7 cm of 20 cm above it. Then the reward is 1 and the episode over.

    Tianhe Yu et al., "Meta-World: a benchmark and evaluation for multi-task and meta reinforcement learning", 2019;
    package metaworld (MIT).
    """

    def __init__(self, task: str) -> None:
        if task not in TASKS:
            raise InputError(f'metaworld has no task "{task}" on its table; there is: {", ".join(TASKS)}')
        self.task, self.physics, self.model = task, physics(), copy.copy(_model())
        self.data = self.physics.MjData(self.model)
        self.abilities = Abilities("sawyer", INSTRUCTIONS[task].train[0], STATES, ACTIONS, fps=80, steps=200)
        self.reset(0)

    @property
    def succeeded(self) -> bool:
        return self.task in self.accomplished

    def reset(self, seed: int) -> Array:
        self.seed, self.taken, self.accomplished = seed, 0, frozenset[str]()
        random = np.random.default_rng([seed, 2])
        self.abilities = replace(self.abilities, instruction=str(random.choice(INSTRUCTIONS[self.task].train)))
        self.physics.mj_resetData(self.model, self.data)
        self._lay(np.random.default_rng([seed, 0]))
        return self._state()

    def step(self, action: Array) -> Moment:
        move = np.clip(np.asarray(action, np.float64), -1.0, 1.0)
        self._hold(np.clip(self.data.mocap_pos[0] + STEP * move[:3], LOW, HIGH), move[3])
        self.taken += 1
        self.accomplished = self.accomplished | self._met()
        return Moment(self._state(), float(self.succeeded), self.succeeded or self.taken >= self.abilities.steps)

    def render(self) -> Array:
        return picture(self.model, self.data, "table")

    def expert(self) -> Expert:
        task, random = TASKS[self.task], np.random.default_rng([self.seed, 1])
        script = getattr(_scripts(), task.script)()

        def act(state: Array) -> Array:
            with warnings.catch_warnings(action="ignore"):  # of actions over 1, which are clipped
                wanted = np.clip(script.get_action(_as_metaworld(state, task)), -1.0, 1.0)
            shaken = wanted + UNSTEADY * random.standard_normal(4) * [1, 1, 1, 0]
            return np.asarray(np.clip(shaken, -1.0, 1.0), np.float32)

        return act

    def _lay(self, random: np.random.Generator) -> None:
        """Put everything in its place, and the hand last."""
        for name, place, spread in FURNITURE:
            self.model.body(name).pos[:2] = np.add(place, random.uniform(-1, 1, 2) * spread)
        self.data.joint("goal_slidey").qpos = random.uniform(-0.09, -0.07)
        self.data.joint("window_slide").qpos = random.uniform(0.09, 0.11)
        self.data.joint("puck").qpos[:3] = [*random.uniform([-0.12, 0.5], [0.12, 0.56]), 0.02]
        self.model.site("mark").pos[:2] = random.uniform([-0.15, 0.66], [0.15, 0.72])
        hand = random.uniform([-0.05, 0.5, 0.15], [0.05, 0.6, 0.25])
        for _ in range(SETTLING):
            self._hold(hand, -1.0)

    def _hold(self, hand: Array, grip: float) -> None:
        """One control step in which the hand is drawn to a place."""
        self.data.mocap_pos[0], self.data.mocap_quat[0] = hand, [1, 0, 1, 0]
        self.data.ctrl[:] = [grip, -grip]
        self.physics.mj_step(self.model, self.data, SUBSTEPS)
        self.physics.mj_kinematics(self.model, self.data)  # places of this moment, not of 2.5 ms ago

    def _state(self) -> Array:
        claws = self.data.body("rightclaw").xpos - self.data.body("leftclaw").xpos
        places = [self.data.body(name).xpos + offset for name, offset in SEEN]
        mark = [*self.model.site("mark").pos[:2], 0.02]
        return np.concatenate([*places, mark, [min(np.linalg.norm(claws) / 0.1, 1.0)]]).astype(np.float32)

    def _met(self) -> set[str]:
        """The tasks whose conditions are met now."""
        drawer, window, button = (self.data.joint(name).qpos[0] for name in SLIDES)
        puck = self.data.body("puck").xpos - [*self.model.site("mark").pos[:2], 0.02]
        met = {
            "drawer-open": drawer < -0.13,
            "drawer-close": drawer > -0.03,
            "window-open": window > 0.17,
            "window-close": window < 0.03,
            "button-press": button < -0.04,
            "push": np.linalg.norm(puck) < 0.05,
            "pick-place": np.linalg.norm(puck - LIFT) < 0.07,
        }
        return {task for task, so in met.items() if so}


FURNITURE = (
    ("drawer", (-0.4, 0.9), (0.03, 0.01)),
    ("window", (0.0, 0.9), (0.03, 0.01)),
    ("box", (0.4, 0.9), (0.03, 0.01)),
)
"""What stands at the back of the table: name, place (x, y) and how far from it at most, metres."""

SLIDES = ("goal_slidey", "window_slide", "btnbox_joint")

SEEN = (
    ("hand", (0.0, 0.0, 0.0)),
    ("drawer_link", (0.0, -0.16, 0.0)),
    ("windowb_a", (-0.015, -0.095, 0.0)),
    ("button", (0.0, -0.193, 0.0)),
    ("puck", (0.0, 0.0, 0.0)),
)
"""The bodies whose places a state tells, and from the body to the part that is meant: a handle, a button's head."""

SUBSTEPS, SETTLING = 5, 50
"""Steps of the physics, 2.5 ms each, to a control step; control steps before an episode."""


def attempted(states: Array) -> str | None:
    """The task of whose kind the first thing was moved, by 2 cm at least, in the states (T, S) of an episode.

    A drawer or a window is opened or closed by the way it went, a button pressed, and a puck pushed, or picked if it
    was ever 3 cm above the table. None where nothing was moved.
    """
    away = np.stack([states[:, index] - states[0, index] for index, _, _ in SIGNS], axis=1)
    moved = np.argwhere(np.abs(away) > 0.02)
    if not len(moved):
        return None
    step, which = moved[0]
    _, down, up = SIGNS[which]
    name = down if away[step, which] < 0 else up
    return "pick-place" if name == "push" and states[:, STATES.index("puck_z")].max() > 0.05 else name


SIGNS = (
    (STATES.index("drawer_y"), "drawer-open", "drawer-close"),
    (STATES.index("window_x"), "window-close", "window-open"),
    (STATES.index("button_y"), "button-press", "button-press"),
    (STATES.index("puck_x"), "push", "push"),
    (STATES.index("puck_y"), "push", "push"),
    (STATES.index("puck_z"), "push", "push"),
)
"""Where in a state a thing's movement is seen, and what has been attempted where it went down and where up."""


def _as_metaworld(state: Array, task: Task) -> Array:
    """A state as the task's own environment would put it, of which scripts read the hand, a thing and the goal."""
    at = lambda place: state[3 * PLACES.index(place) :][:3].astype(np.float64)  # noqa: E731
    thing, goal = at(task.place) + task.offset, at("mark") + task.goal
    return np.concatenate([at("hand"), state[-1:], thing, np.zeros(29), goal])


def _scripts() -> Any:
    try:
        from metaworld import policies
    except ImportError as error:
        raise MissingExtraError("metaworld", "robot") from error
    return policies


@cache
def _model() -> Any:
    """The world, to be copied: where things stand is a part of it that `reset` says anew."""
    model = physics().MjModel.from_xml_string(_scene())
    model.eq_data[:] = [0, 0, 0, 0, 0, 0, -1, 0, 0, 0, 5]  # the hand follows without an offset of its own
    return model


def _scene() -> str:
    things = {name: _part(f"objects/assets/{file}.xml") for name, file in BODIES.items()}
    needs = "".join(_part(f"objects/assets/{name}_dependencies.xml") for name in NEEDED)
    return SCENE.format(basic=_part("scene/basic_scene.xml"), needs=needs, **things)


def _part(name: str) -> str:
    """A file of Meta-World's, to stand in a scene of which it is a part."""
    assets = _assets()
    text = re.sub(r"<!--.*?-->|</?mujocoinclude>", "", (assets / name).read_text(), flags=re.DOTALL)
    return text.replace('"../', f'"{assets.as_posix()}/')


def _assets() -> Path:
    found = find_spec("metaworld")
    if found is None or found.origin is None:
        raise MissingExtraError("metaworld", "robot")
    return Path(found.origin).parent / "assets"


BODIES = {"arm": "xyz_base", "drawer": "drawer", "window": "window_horiz", "box": "buttonbox"}
NEEDED = ("drawer", "window", "buttonbox", "xyz_base")

SCENE = """
<mujoco>
  {basic}{needs}
  <option impratio="10"/>
  <worldbody>
    {arm}
    <camera name="table" pos="0 -0.35 1.05" xyaxes="1 0 0 0 0.64 0.77" fovy="50"/>
    <body name="drawer" pos="-0.4 0.9 0">{drawer}</body>
    <body name="window" pos="0 0.9 0.202">{window}</body>
    <body name="box" pos="0.4 0.9 0.12">{box}</body>
    <body name="puck" pos="0 0.55 0.02">
      <freejoint name="puck"/>
      <inertial pos="0 0 0" mass="0.75" diaginertia="0.00088 0.00088 0.00088"/>
      <geom type="cylinder" size="0.02 0.02" rgba="1 0 0 1" friction="1 0.1 0.002" condim="4" solref="0.01 1"
            solimp="0.99 0.99 0.01"/>
    </body>
    <site name="mark" pos="0 0.7 0.001" type="cylinder" size="0.02 0.001" rgba="0 0.8 0 1"/>
  </worldbody>
  <actuator>
    <position ctrllimited="true" ctrlrange="-1 1" joint="r_close" kp="400"/>
    <position ctrllimited="true" ctrlrange="-1 1" joint="l_close" kp="400"/>
  </actuator>
  <equality><weld body1="mocap" body2="hand" solref="0.02 1"/></equality>
</mujoco>
"""
"""Friction that holds firmly (impratio) keeps a puck from slipping on its way, in old versions of mujoco as in new."""
