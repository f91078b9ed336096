"""What a data set is, in plain values that a run folder can keep. Imports neither torch nor numpy."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar, final, get_args

from lowerbound.errors import InputError

Kind = Literal["binary", "byte", "unit", "real", "count", "category"]
"""What one value is: 0/1; an integer 0..levels-1 of an ordered scale; in [0, 1]; any real; 0, 1, 2, …; a code."""

KINDS: tuple[str, ...] = get_args(Kind)

TextForm = Literal["characters", "words"]
"""What the symbols of a text are."""

TEXT_FORMS: tuple[str, ...] = get_args(TextForm)

Said = Kind | TextForm
"""What a user may say of values: their kind, or of texts what their symbols are."""

DISCRETE = frozenset({"binary", "byte", "category"})
"""The kinds with a known number of levels."""

T = TypeVar("T")


@final
@dataclass(frozen=True)
class Variable:
    """One observed variable: its kind, the shape of one datum of it, and its range.

    `low` and `high` are the range of the kind (0 and levels - 1, or 0 and 1) where it has one, else the least and the
    greatest value of the training rows. `mean` and `std` are of the training rows, for real values only: one number a
    column (a place in the last dimension) for rows of one dimension and where `columns` names them, else one number
    over all. `labels` names the codes of a category. `missing` says
    whether some values were not observed; NaN stand for them, and all else is said of the others. `encoder` names the
    text encoder that made the vectors of a condition that was text. `form` says what the values are a form of, where
    they were not numbers to begin with: `characters` or `words` of a text, whose symbols `labels` then are, in order of
    their codes; or a word of another kind of data with what it takes to get it back, such as `sound:8000:256:64`.

    Raises:
        InputError: when the parts contradict each other.

    Example:
        >>> picture = Variable("x", "byte", (28, 28), 0, 255, levels=256)
        >>> picture.size
        784
        >>> Variable.from_json(picture.to_json()) == picture
        True
    """

    name: str
    kind: Kind
    shape: tuple[int, ...]
    low: float
    high: float
    levels: int | None = None
    columns: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    likelihood: str = ""
    why: str = ""
    missing: bool = False
    encoder: str | None = None
    form: str | None = None

    def __post_init__(self) -> None:
        for complaint, holds in self._complaints():
            if holds:
                raise InputError(f"the description of variable {self.name!r} cannot be used: {complaint}")

    @property
    def size(self) -> int:
        """Values in one datum."""
        return math.prod(self.shape)

    @property
    def width(self) -> int:
        """Numbers that one datum gives as a condition: `levels` (one-hot) for each category, else one a value."""
        return self.size * (self.levels or 1) if self.kind == "category" else self.size

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` takes them back. What older runs know nothing of is told where it is so."""
        return {key: _plain(value) for key, value in asdict(self).items() if key not in _LATER or value}

    @classmethod
    def from_json(cls, value: Any) -> Variable:
        """Read what `to_json` wrote; anything else is refused with an `InputError`."""
        whole = {**_LATER, **value} if isinstance(value, dict) else value
        return cls(**_fields(whole, _VARIABLE, "a variable"))

    def _complaints(self) -> tuple[tuple[str, bool], ...]:
        statistics = (1, *self.shape[-1:])
        return (
            ("its name must be letters, digits and underscores", not NAME.fullmatch(self.name)),
            (f"its kind must be one of {', '.join(KINDS)}", self.kind not in KINDS),
            ("its shape must be of positive whole numbers", any(side < 1 for side in self.shape)),
            ("its range must be finite and ordered", not -math.inf < self.low <= self.high < math.inf),
            ("its kind needs levels", self.kind in DISCRETE and (self.levels or 0) < 1),
            ("its kind needs two levels or more", self.kind in {"binary", "byte"} and self.levels == 1),
            ("its kind has no levels", self.kind not in DISCRETE and self.levels is not None),
            ("columns and shape differ", self.columns is not None and (len(self.columns),) != self.shape[-1:]),
            ("labels and levels differ", self.labels is not None and len(self.labels) != self.levels),
            ("its mean does not fit its shape", self.mean is not None and len(self.mean) not in statistics),
            ("its std does not fit its mean", len(self.std or ()) != len(self.mean or ())),
            ("its std must be positive", any(not 0 < each < math.inf for each in self.std or ())),
        )


@final
@dataclass(frozen=True)
class DataSpec:
    """A data set in words and numbers: what a recipe is built from and what a run folder records.

    `fingerprint` is the SHA-256 of all arrays; with `split_seed` and `splits` (rows in each) it fixes which row is in
    which split. `condition` describes labels or a vector to condition on.

    Example:
        >>> x = Variable("x", "real", (2,), -3, 3, mean=(0.0, 0.1), std=(1.0, 2.0), likelihood="gaussian")
        >>> spec = DataSpec("toy", (x,), None, 10, "0" * 64, {"train": 8, "validation": 1, "test": 1}, 0)
        >>> spec.likelihood, spec.condition_size
        ('gaussian', 0)
        >>> DataSpec.from_json(spec.to_json()) == spec
        True
    """

    name: str
    variables: tuple[Variable, ...]
    condition: Variable | None
    count: int
    fingerprint: str
    splits: Mapping[str, int]
    split_seed: int

    def __post_init__(self) -> None:
        for complaint, holds in self._complaints():
            if holds:
                raise InputError(f"the description of data {self.name!r} cannot be used: {complaint}")

    @property
    def likelihood(self) -> str:
        """The sensible default likelihood of the first variable."""
        return self.variables[0].likelihood

    @property
    def why(self) -> str:
        """One sentence: why that likelihood."""
        return self.variables[0].why

    @property
    def condition_size(self) -> int:
        """Numbers in the condition vector of a row; 0 without a condition."""
        return self.condition.width if self.condition else 0

    def variable(self, name: str) -> Variable:
        """The variable of that name."""
        for each in self.variables:
            if each.name == name:
                return each
        names = ", ".join(each.name for each in self.variables)
        raise InputError(f"data {self.name!r} have no variable {name!r}; choose one of: {names}")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` takes them back."""
        return {
            "name": self.name,
            "variables": [each.to_json() for each in self.variables],
            "condition": self.condition.to_json() if self.condition else None,
            "count": self.count,
            "fingerprint": self.fingerprint,
            "splits": dict(self.splits),
            "split_seed": self.split_seed,
        }

    @classmethod
    def from_json(cls, value: Any) -> DataSpec:
        """Read what `to_json` wrote; anything else is refused with an `InputError`."""
        return cls(**_fields(value, _SPEC, "a data set"))

    def _complaints(self) -> tuple[tuple[str, bool], ...]:
        names = [each.name for each in self.variables]
        return (
            ("it has no variable", not names),
            ("two variables share a name", len(set(names)) < len(names)),
            ("its fingerprint is no SHA-256", not _DIGEST.fullmatch(self.fingerprint)),
            ("its splits are not train, validation and test", set(self.splits) != set(SPLITS)),
            ("its splits do not add up to its count", sum(self.splits.values()) != self.count),
            ("it has no rows to train on", self.splits.get("train", 0) < 1),
            ("a split has less than no rows", min(self.splits.values(), default=0) < 0),
        )


SPLITS = ("train", "validation", "test")

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _fields(value: Any, table: Mapping[str, Callable[[Any], Any]], what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != set(table):
        raise InputError(f"this does not describe {what}: it must have exactly the fields {', '.join(table)}")
    return {key: _read(key, read, value[key]) for key, read in table.items()}


def _read(key: str, read: Callable[[Any], Any], value: Any) -> Any:
    try:
        return read(value)
    except TypeError as error:
        raise InputError(f"field {key!r} of a data description must be {error}") from None


def _typed(kind: type[T], words: str) -> Callable[[Any], T]:
    def read(value: Any) -> T:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise TypeError(words)
        return value

    return read


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a number")
    return value


def _optional(read: Callable[[Any], T]) -> Callable[[Any], T | None]:
    return lambda value: None if value is None else read(value)


def _many(read: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    def read_all(value: Any) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise TypeError("a list")
        return tuple(read(each) for each in value)

    return read_all


def _counts(value: Any) -> dict[str, int]:
    if not isinstance(value, dict):
        raise TypeError("an object of whole numbers")
    return {_text(key): _whole(each) for key, each in value.items()}


_text = _typed(str, "text")
_whole = _typed(int, "a whole number")
_truth = _typed(bool, "true or false")

_VARIABLE: dict[str, Callable[[Any], Any]] = {
    "name": _text,
    "kind": _text,
    "shape": _many(_whole),
    "low": _number,
    "high": _number,
    "levels": _optional(_whole),
    "columns": _optional(_many(_text)),
    "labels": _optional(_many(_text)),
    "mean": _optional(_many(_number)),
    "std": _optional(_many(_number)),
    "likelihood": _text,
    "why": _text,
    "missing": _truth,
    "encoder": _optional(_text),
    "form": _optional(_text),
}

_LATER: dict[str, Any] = {"missing": False, "encoder": None, "form": None}
"""Fields that runs of earlier versions lack, and what they stand for there."""

_SPEC: dict[str, Callable[[Any], Any]] = {
    "name": _text,
    "variables": _many(Variable.from_json),
    "condition": _optional(Variable.from_json),
    "count": _whole,
    "fingerprint": _text,
    "splits": _counts,
    "split_seed": _whole,
}
