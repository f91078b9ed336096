"""What the condition of a robot's actions is made of: a state, perhaps a picture, perhaps an instruction's vector."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import final

import numpy as np

from lowerbound.data.spec import Variable

MOST_PIXELS = 1 << 16
"""Numbers of a picture that can be told: some 147 x 147 pixels of three colours."""

_FORM = re.compile(r"state:(\d{1,9})|picture:(\d{1,9}),(\d{1,5})x(\d{1,5})x(\d)")


@final
@dataclass(frozen=True)
class Senses:
    """Numbers of a condition, in this order: `state` of them, the pixels of a `picture` (H, W, C), and of `words`.

    Its form says so: `state:S`, or `picture:S,HxWxC`; what is left is an instruction's. Of another form, all is state.

    >>> Senses.of(Variable("condition", "real", (398,), 0, 1, encoder="minilm", form="state:14"))
    Senses(state=14, picture=None, words=384)
    >>> Senses.of(Variable("condition", "real", (206,), 0, 1, form="picture:14,8x8x3")).picture
    (8, 8, 3)
    """

    state: int
    picture: tuple[int, int, int] | None
    words: int

    @classmethod
    def of(cls, about: Variable) -> Senses:
        """Those of a condition."""
        found = _FORM.fullmatch(about.form or "")
        if found is None:
            return cls(about.width, None, 0)
        plain, beside, *sides = found.groups()
        height, width, colours = (int(side or 0) for side in sides)
        state, picture = int(plain or beside), (height, width, colours) if beside else None
        return cls(state, picture, about.width - state - height * width * colours)

    @property
    def pixels(self) -> int:
        """Numbers of the picture."""
        return math.prod(self.picture or (0,))

    @property
    def seen(self) -> int:
        """Numbers of the state and of the picture."""
        return self.state + self.pixels

    @property
    def form(self) -> str:
        """The words for it."""
        sides = "x".join(map(str, self.picture or ()))
        return f"picture:{self.state},{sides}" if self.picture else f"state:{self.state}"


def beheld(states: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    """States (n, S) and after them the pictures (n, H, W, C) of bytes as numbers from 0 to 1, (n, S + HWC) float32.

    >>> beheld(np.zeros((2, 3)), np.full((2, 1, 1, 3), 255, np.uint8))[0].tolist()
    [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    """
    pixels = pictures.reshape(len(pictures), -1) / np.float32(255)
    return np.concatenate([states.astype(np.float32), pixels], axis=1)
