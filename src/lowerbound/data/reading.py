"""How data were read, in plain values, so that a run can read them again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, final

from lowerbound.arguments import conformed
from lowerbound.data.dataset import Dataset, load_data
from lowerbound.data.sources import SOURCES
from lowerbound.data.spec import DataSpec, Said, Variable
from lowerbound.data.text import encoder
from lowerbound.data.text.vocabulary import is_text
from lowerbound.errors import InputError, UnlabelledError


@final
@dataclass(frozen=True)
class Reading:
    """A source that outlives the process, and what was said about it. See `load_data` for the words.

    Example:
        >>> Reading("digits").load().spec.count
        1797
    """

    source: str
    kind: Said | None = None
    labels: str | None = None
    missing: bool = False
    text: str | None = None

    def load(self, seed: int = 0) -> Dataset:
        """Read the data, split by `seed`."""
        said: dict[str, Any] = {"kind": self.kind, "labels": self.labels, "missing": self.missing, "text": self.text}
        return load_data(self.source, seed=seed, **said)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` takes them back. What older runs know nothing of is told where it is so."""
        return {key: value for key, value in asdict(self).items() if key not in _LATER or value}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read what `to_json` wrote; anything else is refused with an `InputError`."""
        if not isinstance(value, Mapping) or set(value) - _LATER != {"source", "kind", "labels"}:
            raise InputError("this does not say how data were read: it must have source, kind and labels")
        return cls(**{name: conformed(name, value[name], hint) for name, hint in _HINTS.items() if name in value})


_HINTS: dict[str, Any] = {"source": str, "kind": Said | None, "labels": str | None, "missing": bool, "text": str | None}
_LATER = frozenset({"missing", "text"})


def reading_of(
    data: Any, kind: Said | None, labels: Any, missing: bool = False, text: str | None = None
) -> Reading | None:
    """How to read `data` again: by name or absolute path; None for what is only in memory.

    Example:
        >>> reading_of([[0.0]], None, None) is None
        True
    """
    if not isinstance(data, str | Path) or not isinstance(labels, str | None):
        return None
    source = str(data) if data in SOURCES else str(Path(data).expanduser().resolve())
    return Reading(source, kind, labels, missing, text and encoder(text).name)


def read_alike(spec: DataSpec, reading: Reading | None, source: Any = None) -> Dataset:
    """Read data as those of the description were, and split them alike: `source`, or the very same.

    A source may lack the labels that those had.
    """
    if isinstance(source, Dataset):
        return source
    if source is None and reading is not None:
        return reading.load(spec.split_seed)
    kinds = {variable.form if is_text(variable) else variable.kind for variable in spec.variables}
    told = reading if isinstance(source, str | Path) else None
    labels, text = (told.labels, told.text) if told else (None, None)
    kind, missing = kinds.pop() if len(kinds) == 1 else None, any(variable.missing for variable in spec.variables)
    alike: dict[str, Any] = {"seed": spec.split_seed, "kind": kind, "missing": missing, "alike": spec}
    try:
        return load_data(source, **alike, labels=labels, text=text)
    except UnlabelledError:
        return load_data(source, **alike)


def require_alike(spec: DataSpec, wanted: DataSpec) -> None:
    """Refuse data whose variables are not such as a model was made for."""
    for variable in wanted.variables:
        _require_alike(spec.variable(variable.name), variable)


def _require_alike(given: Variable, wanted: Variable) -> None:
    for what in ("kind", "shape", "levels"):
        if getattr(given, what) != getattr(wanted, what):
            raise InputError(
                f"the model was made for data of {what} {getattr(wanted, what)}, but these have {getattr(given, what)}"
            )
    if given.form and wanted.form and given.form != wanted.form:
        raise InputError(f"the model was made for data of the form {wanted.form}, but these are {given.form}")
