"""Files that verbs write: pictures as PNG, arrays as .npy, .npz, .csv or .parquet, texts as .txt or .json too.

Which it is, the ending of the name says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowerbound.cli.verb import Switch
from lowerbound.errors import InputError
from lowerbound.files import replacing, write_json, write_text

if TYPE_CHECKING:
    import numpy as np

    from lowerbound.plots import Drawing

    Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Output:
    """Where to."""

    out: Path
    """File to write; where a verb makes texts, - prints them."""
    force: Switch = False
    """Replace the file if it is there."""

    def write(self, columns: Columns, draw: Callable[[], Drawing] | None = None) -> None:
        """Write the arrays, or for .png what `draw` makes of them; whole or not at all."""
        if self.out.suffix == ".png" and draw:
            from lowerbound.plots import write_png

            write_png(self.out, draw())
        elif not self.printed:
            WRITERS[self.out.suffix](self.out, columns)

    @property
    def printed(self) -> bool:
        """Whether texts are printed and no file is written."""
        return self.out == PRINTED

    def check(self, pictures: bool = True) -> None:
        """Refuse, before any work, an ending that is not known and a file that is there."""
        refuse_ending(self.out, [".png", *NUMBERS] if pictures else NUMBERS)
        refuse_existing(self.out, self.force)

    def check_for(self, texts: bool) -> None:
        """The same where texts make no picture, and numbers no lines."""
        if not texts:
            self.check()
        elif not self.printed:
            refuse_ending(self.out, [*WRITERS])
            refuse_existing(self.out, self.force)


def refuse_ending(path: Path, known: Sequence[str]) -> None:
    """Only what is known by its ending is written."""
    if path.suffix not in known:
        raise InputError(f"{path} must end in one of: {', '.join(known)}")


def refuse_existing(path: Path, force: bool) -> None:
    """Nothing is replaced unasked."""
    if path.exists() and not force:
        raise InputError(f"{path} is there already; choose another name, or add --force to replace it")


def lines(columns: Columns) -> list[str]:
    """A row of columns (N,) in a line each, tabs between them.

    >>> import numpy as np
    >>> lines({"x": np.array(["a cat", "a dog"]), "label": np.array([0, 1])})
    ['a cat\\t0', 'a dog\\t1']
    """
    return ["\t".join(map(str, row)) for row in zip(*columns.values(), strict=True)]


def records(columns: Columns) -> list[dict[str, Any]]:
    """A row of columns (N,) each, by name."""
    return [dict(zip(columns, row)) for row in zip(*(values.tolist() for values in columns.values()), strict=True)]


def write_txt(path: Path, columns: Columns) -> None:
    """A line a row."""
    write_text(path, "".join(f"{line}\n" for line in lines(columns)))


def write_records(path: Path, columns: Columns) -> None:
    """A list of objects, one a row."""
    write_json(path, records(columns))


def write_npy(path: Path, columns: Columns) -> None:
    """The first array alone."""
    import numpy as np

    with replacing(path) as scratch, scratch.open("wb") as stream:
        np.save(stream, next(iter(columns.values())), allow_pickle=False)


def write_npz(path: Path, columns: Columns) -> None:
    """All arrays, under their names."""
    import numpy as np

    with replacing(path) as scratch, scratch.open("wb") as stream:
        np.savez(stream, **dict(columns))  # type: ignore[arg-type]


def write_parquet(path: Path, columns: Columns) -> None:
    """A row a datum; arrays of several values a row become a column for each value: x0, x1, …"""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with replacing(path) as scratch:
        pq.write_table(pa.table(flat(columns)), scratch)


def write_csv(path: Path, columns: Columns) -> None:
    """The same table as text."""
    import pyarrow as pa
    from pyarrow import csv

    with replacing(path) as scratch:
        csv.write_csv(pa.table(flat(columns)), scratch)


WRITERS: dict[str, Callable[[Path, Any], None]] = {
    ".npy": write_npy,
    ".npz": write_npz,
    ".parquet": write_parquet,
    ".csv": write_csv,
    ".txt": write_txt,
    ".json": write_records,
}

PRINTED = Path("-")
NUMBERS = [ending for ending in WRITERS if ending not in (".txt", ".json")]
"""Endings of files that hold arrays of any shape."""


def flat(columns: Columns) -> dict[str, np.ndarray]:
    """Arrays (N, ...) as named columns (N,).

    >>> import numpy as np
    >>> flat({"z": np.zeros((3, 2)), "row": np.arange(3)}).keys()
    dict_keys(['z0', 'z1', 'row'])
    """
    return {name: values for key, array in columns.items() for name, values in _split(key, array)}


def _split(name: str, array: np.ndarray) -> list[tuple[str, np.ndarray]]:
    if array.ndim == 1:
        return [(name, array)]
    table = array.reshape(len(array), -1)
    return [(f"{name}{i}", table[:, i]) for i in range(table.shape[1])]
