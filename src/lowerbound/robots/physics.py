"""The package that simulates, loaded when a simulator is asked for."""

from __future__ import annotations

import os
import sys
from typing import Any

from lowerbound.errors import MissingExtraError


def physics() -> Any:
    """The module mujoco, told before it is loaded to draw without a screen where there is none.

    Its warnings are not heard, for it would write them into a file where the user happens to be: see `broken`.

    Raises:
        MissingExtraError: it is not installed.
    """
    if sys.platform == "linux" and "DISPLAY" not in os.environ:
        os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        import mujoco
    except ImportError as error:
        raise MissingExtraError("mujoco", "robot") from error
    mujoco.set_mju_user_warning(_unheard)
    return mujoco


def broken(data: Any) -> bool:
    """Whether forces have been so great that physics gave way, and was begun anew by itself."""
    kinds = physics().mjtWarning
    return any(
        data.warning[int(kind)].number for kind in (kinds.mjWARN_BADQPOS, kinds.mjWARN_BADQVEL, kinds.mjWARN_BADQACC)
    )


def _unheard(warning: object) -> None:
    pass
