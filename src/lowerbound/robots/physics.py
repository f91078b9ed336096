"""The package that simulates, loaded when a simulator is asked for."""

from __future__ import annotations

import os
import sys
from typing import Any

from lowerbound.errors import MissingExtraError


def physics() -> Any:
    """The module mujoco, told before it is loaded to draw without a screen where there is none.

    Raises:
        MissingExtraError: it is not installed.
    """
    if sys.platform == "linux" and "DISPLAY" not in os.environ:
        os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        import mujoco
    except ImportError as error:
        raise MissingExtraError("mujoco", "robot") from error
    return mujoco
