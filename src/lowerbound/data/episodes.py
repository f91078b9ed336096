"""Episodes of a robot: what it saw and did, and the chunks of actions that lie ahead of each frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from lowerbound.errors import InputError

CHUNK = 100
"""Actions ahead of a frame that are a datum: two seconds at fifty a second."""


@final
@dataclass(frozen=True, eq=False)
class Episode:
    """One demonstration: states (T, S) and the action (T, A) taken in each of them, float32; in words what was done.

    success: whether it went well, where that is known. pictures: what a camera saw, (T, H, W, 3) of bytes.
    """

    states: np.ndarray
    actions: np.ndarray
    task: str
    success: bool | None = None
    pictures: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.actions)

    def check(self, place: str) -> None:
        """Refuse an episode whose numbers cannot be written or learned from; `place` says which it is."""
        for name, values in (("states", self.states), ("actions", self.actions)):
            if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "fiu":
                raise InputError(f"{place}: the {name} are of shape {values.shape}; give numbers, a row a frame")
            if not np.isfinite(values).all():
                row, column = np.argwhere(~np.isfinite(values))[0]
                raise InputError(
                    f"{place}, frame {row}, number {column} of the {name} is NaN or infinite; leave it out"
                )
        if len(self.states) != len(self.actions):
            raise InputError(f"{place} has {len(self.states)} states and {len(self.actions)} actions; give one of each")
        seen = self.pictures
        if seen is not None and (seen.dtype != np.uint8 or seen.ndim != 4 or seen.shape[::3] != (len(self), 3)):
            raise InputError(f"{place}: the pictures are of shape {seen.shape}; give bytes, (frames, H, W, 3)")


@final
class Windows:
    """The `chunk` actions from each frame on, (N, chunk, A) with NaN beyond an episode's end, made as they are read.

    Of an array it has what reading needs: slices, rows by number, single values. What it holds is the actions
    themselves, a hundredth of it.

    >>> windows = Windows([np.array([[1.0], [2.0]]), np.array([[3.0]])], chunk=2)
    >>> windows.shape, windows[:][:, :, 0].tolist()
    ((3, 2, 1), [[1.0, 2.0], [2.0, nan], [3.0, nan]])
    >>> windows[np.array([2, 0])].shape, float(windows[1, 0, 0])
    ((2, 2, 1), 2.0)
    """

    def __init__(self, actions: Sequence[np.ndarray], chunk: int = CHUNK) -> None:
        lengths, width = np.array([len(each) for each in actions]), actions[0].shape[1]
        beyond = np.full((chunk - 1, width), np.nan, actions[0].dtype)
        self._padded = np.concatenate([part for each in actions for part in (each, beyond)])
        self._starts = np.arange(lengths.sum()) + np.repeat(np.arange(len(actions)) * (chunk - 1), lengths)
        windows = np.lib.stride_tricks.sliding_window_view(self._padded, chunk, axis=0)
        self._windows = windows.swapaxes(1, 2)
        self.shape, self.dtype, self.ndim = (len(self._starts), chunk, width), self._padded.dtype, 3
        self.size = len(self._starts) * chunk * width
        self.nbytes = self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, chosen: Any) -> Any:
        rows, *rest = chosen if isinstance(chosen, tuple) else (chosen,)
        found = self._windows[self._starts[rows]]
        return found[tuple(rest)] if rest else found
