"""The package that simulates, loaded when a simulator is asked for."""

from __future__ import annotations

import logging
import os
import sys
from functools import cache
from typing import Any

from lowerbound.errors import MissingExtraError


@cache
def physics() -> Any:
    """The module mujoco, told before it is loaded to draw without a screen where there is none.

    Its warnings go to this module's logger, for it would write them into a file where the user happens to be; what
    they warn of is told by `broken`.

    Raises:
        MissingExtraError: it is not installed.
    """
    if sys.platform == "linux" and "DISPLAY" not in os.environ:
        os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        import mujoco
    except ImportError as error:
        raise MissingExtraError("mujoco", "robot") from error
    mujoco.set_mju_user_warning(logging.getLogger(__name__).debug)
    return mujoco


def broken(data: Any) -> bool:
    """Whether forces have been so great that physics gave way, and was begun anew by itself."""
    kinds = physics().mjtWarning
    return any(
        data.warning[int(kind)].number for kind in (kinds.mjWARN_BADQPOS, kinds.mjWARN_BADQVEL, kinds.mjWARN_BADQACC)
    )
