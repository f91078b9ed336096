"""What a verb tells a model that is told something."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowerbound.errors import InputError

if TYPE_CHECKING:
    from lowerbound.data.rows import Rows
    from lowerbound.data.spec import Variable
    from lowerbound.fitted import Fitted


@dataclass(frozen=True)
class Condition:
    """What a model is told that is told something, for all rows; by default each row's own condition, or nothing."""

    label: str | None = None
    """A label; where rows have several, each of them, as in size=2,hue=0."""
    text: str | None = None
    """A text, such as "a red car"."""
    like: Path | None = None
    """A picture (.png, .jpg) or a vector (.npy)."""

    @property
    def said(self) -> bool:
        """Whether it is told anything in place of the rows' own."""
        return (self.label, self.text, self.like) != (None, None, None)

    def check(self) -> None:
        """Refuse more than one."""
        if sum(each is not None for each in (self.label, self.text, self.like)) > 1:
            raise InputError("a model is told one thing: --label, --text or --like; give one of them")

    def tell(self, model: Fitted, rows: Rows | None = None) -> Fitted:
        """The model that is told this; where it is nothing, the model that is told each row's own."""
        self.check()
        if not self.said:
            return model if rows is None or model.setup.condition is None else model.given(rows)
        with warnings_in_a_line():
            return model.given(self._of(model))

    def _of(self, model: Fitted) -> Any:
        about = model.setup.condition.variable if model.setup.condition else None
        if self.like is not None and about is not None:
            from lowerbound.evaluation.likeness import read_datum

            return read_datum(about, self.like)
        if self.label is not None and about is not None and about.kind != "category":
            other = "--text" if about.encoder else "--like"
            raise InputError(f"the model is told no labels; say what it is told with {other}")
        return self.text if self.label is None else labels(about, self.label)


def labels(about: Variable | None, words: str) -> Any:
    """A label as it is written, or the codes of several by column.

    >>> labels(None, "7")
    '7'
    """
    if about is None or about.columns is None or about.kind != "category":
        return words
    pairs = [part.partition("=") for part in words.split(",")]
    try:
        return {name.strip(): int(code) for name, _, code in pairs}
    except ValueError:
        known = ",".join(f"{name}=0" for name in about.columns)
        raise InputError(f"the model is told several labels by number; write them as in --label {known}") from None


@contextmanager
def warnings_in_a_line() -> Iterator[None]:
    """A block whose warnings go to stderr as the command's own sentences."""
    with warnings.catch_warnings():
        warnings.showwarning = _show
        yield


def _show(message: Warning | str, *where: Any, **more: Any) -> None:
    print(f"lowerbound: warning: {message}", file=sys.stderr)
