"""Where an arm's joints have to be for its grip to be somewhere: inverse kinematics in closed form."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import acos, atan2, cos, hypot, sin
from typing import final

import numpy as np

from lowerbound.robots.simulators import Array

SHOULDER = 0.12705
"""Height of the shoulder over the table; all lengths are those of the ViperX 300 of gym-aloha, in metres."""

UPPER, LEAN = hypot(0.05955, 0.3), atan2(0.3, 0.05955)
"""From shoulder to elbow, and how steeply that is when the shoulder's joint is at 0 (radians)."""

FOREARM = 0.3
HAND = 0.069744
"""From the wrist to the gripper's origin."""

GRIP = 0.14
"""From there to where the fingers hold: they end 14 mm further on."""


@final
@dataclass(frozen=True)
class Pose:
    """Where a grip is to be (metres), how far down from level it points and how it is rolled (radians)."""

    x: float
    y: float
    z: float
    pitch: float = 0.0
    roll: float = 0.0


@final
@dataclass(frozen=True)
class Arm:
    """An arm that stands at (x, y) and looks along +x or -x (`heading` 1 or -1)."""

    x: float
    y: float
    heading: int

    def reach(self, pose: Pose) -> Array:
        """The six joints, radians: the arm turns to a pose, stays in its upright plane and leaves its forearm unturned.

        So of the three angles of a gripper the one about the vertical is the waist's, and is not asked for.

        Raises:
            ValueError: when the arm is too short, or folded too far.
        """
        waist, distance = self._seen(pose)
        out = distance - (HAND + GRIP) * cos(pose.pitch)
        up = pose.z + (HAND + GRIP) * sin(pose.pitch) - SHOULDER
        upper, forearm = _two_links(hypot(out, up), atan2(up, out))
        return np.array([waist, LEAN - upper, upper - LEAN - forearm, 0.0, pose.pitch + forearm, pose.roll])

    def back(self, pose: Pose, by: float) -> Pose:
        """A pose drawn back, along the way that the gripper points, by so many metres."""
        waist, _ = self._seen(pose)
        level = by * cos(pose.pitch) * self.heading
        x, y, z = pose.x - level * cos(waist), pose.y - level * sin(waist), pose.z + by * sin(pose.pitch)
        return replace(pose, x=x, y=y, z=z)

    def _seen(self, pose: Pose) -> tuple[float, float]:
        """The waist's angle to a place, and how far it is over the table."""
        x, y = (pose.x - self.x) * self.heading, (pose.y - self.y) * self.heading
        return atan2(y, x), hypot(x, y)


def _two_links(distance: float, elevation: float) -> tuple[float, float]:
    """How steeply the upper arm and the forearm rise, elbow up, for the wrist to be so far off and so high."""
    if not abs(UPPER - FOREARM) < distance < UPPER + FOREARM:
        raise ValueError(f"the arm reaches no wrist {distance:.3f} m from its shoulder")
    at_shoulder = acos((UPPER**2 + distance**2 - FOREARM**2) / (2 * UPPER * distance))
    at_wrist = acos((FOREARM**2 + distance**2 - UPPER**2) / (2 * FOREARM * distance))
    return elevation + at_shoulder, elevation - at_wrist
