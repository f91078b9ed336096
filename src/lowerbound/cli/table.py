"""The verb table: a mixture over mixed columns, and what it says of rows of which some is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from lowerbound.arguments import Count, conformed
from lowerbound.cli.output import refuse_ending, refuse_existing
from lowerbound.cli.verb import Answer, Flat, Named, Switch, Verb
from lowerbound.errors import InputError
from lowerbound.files import replacing

if TYPE_CHECKING:
    import pyarrow as pa

    from lowerbound.mixtures.table import TableMixture


@dataclass(frozen=True)
class New:
    """New rows."""

    samples: Path | None = None
    """File for them: .csv or .parquet."""
    count: int = 1000
    """How many."""
    given: tuple[str, ...] = ()
    """What is known of them, as sex=f age=40: the rest is drawn given that, and no draw is thrown away."""
    seed: int = 0
    """Fixes the draws, and the starts."""

    def check(self) -> None:
        """Refuse what cannot be."""
        conformed("count", self.count, Count)
        odd = [each for each in self.given if "=" not in each]
        if odd:
            raise InputError(f"given: {odd[0]!r} is no COLUMN=VALUE, such as age=40")

    def of(self, table: TableMixture) -> pa.Table:
        """They themselves."""
        from lowerbound.mixtures.frames import arrow

        return arrow(table.sample(self.count, pairs(self.given), self.seed))


@final
@dataclass(frozen=True, kw_only=True)
class Table(Verb):
    """Fit a mixture to a table whose columns are of all kinds, each with a likelihood of its own; or ask one of it.

    The likelihoods are chosen by stated rules, and a sentence for each column says which and why. A mixture that was
    kept answers --samples, new rows given some of their values, and --fill, a file whose empty cells are filled.
    """

    data: Named[Path]
    """A .csv or .parquet file to fit to, or the folder of a table that was fitted."""
    out: Path | None = None
    """New folder to keep the fitted table in."""
    components: int | None = None
    """How many components; unless told, found by rows held out."""
    likelihood: tuple[str, ...] = ()
    """For columns that are not to be chosen for, as age=student income=log-normal."""
    new: Flat[New] = field(default=New())
    fill: Path | None = None
    """A .csv or .parquet file whose empty cells are to be filled with what is expected there."""
    filled: Path | None = None
    """File for it, filled: .csv or .parquet."""
    force: Switch = False
    """Replace files that are there."""

    def answer(self) -> Answer:
        self._check()
        table = self._table()
        if self.out:
            table.save(self.out)
        made: Mapping[Path | None, Callable[[], pa.Table]] = {
            self.new.samples: lambda: self.new.of(table),
            self.filled: lambda: _filled(table, self.fill),
        }
        for path, rows in made.items():
            if path:
                _write(path, rows())
        wrote = [str(path) for path in (self.out, *made) if path]
        facts = {
            "components": table.mixture.shape[1],
            "columns": {each.name: each.likelihood for each in table.columns},
        }
        lines = [*table.why, f"{facts['components']} components", *(f"wrote {path}" for path in wrote)]
        return Answer({**facts, "why": list(table.why), "wrote": wrote}, "\n".join(lines))

    def _check(self) -> None:
        self.new.check()
        conformed("components", self.components, Count | None)
        if (self.fill is None) != (self.filled is None):
            raise InputError("--fill and --filled go together: a file with empty cells, and where to write it filled")
        for path in filter(None, (self.new.samples, self.filled)):
            refuse_ending(path, [".csv", ".parquet"])
            refuse_existing(path, self.force)
        if self.out:
            refuse_existing(self.out, self.force)

    def _table(self) -> TableMixture:
        from lowerbound.mixtures.table import TableMixture

        if self.data.is_dir():
            return TableMixture.load(self.data)
        return TableMixture.fit(self.data, self.components, pairs(self.likelihood), seed=self.new.seed)


def pairs(words: tuple[str, ...]) -> dict[str, Any]:
    """COLUMN=VALUE words by column.

    >>> pairs(("age=40", "sex=f"))
    {'age': '40', 'sex': 'f'}
    """
    return dict(word.split("=", 1) for word in words)


def _filled(table: TableMixture, path: Path | None) -> pa.Table:
    from lowerbound.mixtures.frames import arrow

    return arrow(table.impute(arrow(path)))


def _write(path: Path, table: pa.Table) -> None:
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    with replacing(path) as scratch:
        (pa_csv.write_csv if path.suffix == ".csv" else pq.write_table)(table, scratch)
