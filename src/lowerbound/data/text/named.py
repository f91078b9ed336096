"""Text encoders by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from lowerbound.data.raw import shown
from lowerbound.data.text.encoder import TextEncoder
from lowerbound.data.text.hashed import Hashed
from lowerbound.data.text.joined import Joined
from lowerbound.data.text.sentences import in_folder, minilm
from lowerbound.data.text.word_vectors import ChineseWords
from lowerbound.errors import InputError

ENCODERS: Mapping[str, Callable[[], TextEncoder]] = {"minilm": minilm, "words-zh": ChineseWords, "hash": Hashed}
"""Name -> what makes the encoder."""


@cache
def encoder(name: str) -> TextEncoder:
    """The text encoder of this name.

    `minilm` reads English (384 numbers; needs the extra `text`), `words-zh` Chinese (100), `hash` the spelling of
    any script (256). A folder with a model of the sentence-transformers form is named by its path. Several joined by
    `+` read several languages: `minilm+words-zh`.

    Raises:
        InputError: there is none of that name; MissingExtraError: it needs what is not installed.

    >>> encoder("hash").encode(["a red car"]).shape
    (1, 256)
    """
    parts = name.split("+")
    if len(parts) > 1:
        return Joined([encoder(part) for part in parts])
    return ENCODERS[name]() if name in ENCODERS else _by_path(name)


def _by_path(name: str) -> TextEncoder:
    path, _, known_as = name.partition("@")
    if not Path(path).expanduser().is_dir():
        raise InputError(
            f"there is no text encoder {shown(name)!r}; choose one of: {', '.join(ENCODERS)}, several joined by +, or "
            f"a folder with a model of the sentence-transformers form"
        )
    return in_folder(Path(path), known_as)
