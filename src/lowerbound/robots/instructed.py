"""What a model of actions is told: a state, and perhaps after it an instruction in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lowerbound.data.senses import Senses
from lowerbound.data.spec import Variable
from lowerbound.data.text import encoder, read_captions
from lowerbound.errors import InputError
from lowerbound.robots.simulators import Array


def parts_of(about: Variable) -> tuple[int, int]:
    """How many numbers of a condition are what is seen (a state, and perhaps a picture), and how many after them words.

    >>> parts_of(Variable("condition", "real", (398,), 0, 1, encoder="minilm", form="state:14"))
    (14, 384)
    """
    senses = Senses.of(about)
    return senses.seen, senses.words


def instructions(about: Variable, said: str | Sequence[str] | Array | None) -> Array | None:
    """Vectors (1, E) or (n, E) of what a model is told to do, in words or as vectors; None for one that is not told.

    Raises:
        InputError: a model that is told in words and is not, or the other way round; or vectors of another length.
    """
    state, words = parts_of(about)
    if (said is None) != (words == 0):
        need = "needs an instruction; say what to do" if words else "is told no instruction; give none"
        raise InputError(f"the model is told a state of {state} numbers and {words} of words, and {need}")
    if said is None:
        return None
    found = np.atleast_2d(np.asarray(said, np.float32) if isinstance(said, np.ndarray) else _vectors(about, said))
    if found.shape[1:] != (words,) or not np.isfinite(found).all():
        raise InputError(f"the instruction is of shape {found.shape}, and the model takes vectors of {words} numbers")
    return found


def _vectors(about: Variable, said: str | Sequence[str]) -> Array:
    if about.encoder is None:
        raise InputError("the model was told vectors and no words; give the instruction as one")
    return read_captions(encoder(about.encoder), np.array([said] if isinstance(said, str) else list(said))).vectors
