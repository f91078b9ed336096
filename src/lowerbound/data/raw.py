"""Decoded but undescribed data: what files and sources hand to `load_data`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import numpy as np

from lowerbound.data.spec import Kind


@final
@dataclass(frozen=True, eq=False)
class Raw:
    """Arrays as decoded, one row a datum, and what their origin knows of them.

    `place` names the origin in refusals. `columns` names the columns of a table. The last `test` rows are an official
    test split; 0 where there is none. `levels`, `near_binary` and `label_names` are what a named source declares.
    `where` says which of many files holds a row, and its number in it.
    `label_columns` names the columns of labels that are several to a row, (N, D), each a category of its own.
    `kinds` says what the values of some arrays are, where their type no longer does.
    `captions` are texts (N,) that say what a row is, beside its label. Rows of one number in `groups` (N,) show the
    same thing and stay in one split.
    `forms` says what the values of some arrays are a form of (see `Variable.form`), and under "condition" those of the
    labels. Of the arrays in `gaps` some values are not there by their nature, for which NaN stand.
    """

    name: str
    place: str
    arrays: Mapping[str, np.ndarray]
    labels: np.ndarray | None = None
    columns: tuple[str, ...] | None = None
    label_names: tuple[str, ...] | None = None
    label_columns: tuple[str, ...] | None = None
    levels: int = 256
    near_binary: bool = False
    test: int = 0
    where: Callable[[int], str] | None = None
    captions: np.ndarray | None = None
    groups: np.ndarray | None = None
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    forms: Mapping[str, str] = field(default_factory=dict)
    gaps: frozenset[str] = frozenset()

    def at(self, name: str, index: tuple[int, ...]) -> str:
        """Where one value is, in words: file, array, row and column."""
        row, *rest = index
        array = f", array {name!r}" if len(self.arrays) > 1 else ""
        found = self.where(row) if self.where else f"{self.place}{array}, row {row} (from 0)"
        return f"{found}{self._column(rest)}"

    def _column(self, rest: list[int]) -> str:
        if len(rest) > 1:
            return f", position {tuple(rest)}"
        if not rest:
            return ""
        return f", column {self.columns[rest[0]]!r}" if self.columns else f", column {rest[0]}"


def shown(text: object, longest: int = 80) -> str:
    """Text from outside, safe to print: cut at so many characters, control characters escaped.

    >>> shown("a\\x1b[31m")
    'a\\\\x1b[31m'
    """
    words = str(text)
    safe = words if words.isprintable() else ascii(words)[1:-1]
    return safe if len(safe) <= longest else f"{safe[: longest - 3]}..."


def named(path: Path) -> str:
    """A path from outside, safe to print and not cut before its end."""
    return shown(path, longest=4096)
