"""Pictures of a simulated world."""

from __future__ import annotations

import atexit
from functools import lru_cache
from typing import Any

from lowerbound.errors import InputError
from lowerbound.robots.physics import physics
from lowerbound.robots.simulators import Array

HEIGHT, WIDTH = 240, 320


def picture(model: Any, data: Any, camera: str) -> Array:
    """What a camera of the model sees; (240, 320, 3) of uint8.

    Raises:
        InputError: when this machine has nothing to draw with.
    """
    painter = _painter(model)
    painter.update_scene(data, camera)
    drawn: Array = painter.render()
    return drawn


@lru_cache(maxsize=4)
def _painter(model: Any) -> Any:
    """What draws a model; made once, for that takes longer than drawing."""
    try:
        painter = physics().Renderer(model, HEIGHT, WIDTH)
    except Exception as error:  # of whichever library draws, and whatever it calls it
        remedy = "install one, such as Debian's libegl1 with libgl1-mesa-dri, or set MUJOCO_GL=osmesa where that is"
        raise InputError(f"no library that draws without a screen works here; {remedy}") from error
    atexit.register(painter.close)
    return painter
