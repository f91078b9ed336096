"""Which likelihood a column of a table gets, by stated rules, and why, in words.

1. Nothing in it: empty. Text, categories and truth values: Bernoulli if there are two, categorical if there are up to
   `MOST_VALUES`; text that differs more is refused, since it names rows rather than describing them. Any column with
   two values, other than times, is Bernoulli, with one a constant.
2. For numbers, there is a contest: a mixture of three, fitted to the column alone in four fifths of (up to 5,000) rows,
   and log p of its last fifth. The first within 0.01 nats a row of the best wins. Densities enter it by numbers spread
   evenly over the step h that they are rounded to: the mean of log p + log h is then at most the log probability of the
   rounded value, which can be set beside that of a count or a category.
3. Contestants are categorical (if there are up to `FEW_VALUES` values, and a new one is to be expected in no more than
   one of a thousand rows), Poisson and negative binomial (whole numbers from zero up), Gaussian and Student's t,
   log-normal and log-Student (if all are greater than half a step). How often new values are to be expected is told by
   the share of those that are there once: I. J. Good, "The population frequencies of species and the estimation of
   population parameters", 1953.
4. If numbers are not to be categorical, and over a tenth of the rows have the same one, the densities are of the
   others, beside the probability of that one ("spiked"). Times are numbers, in days.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, final, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from lowerbound.errors import InputError
from lowerbound.mixtures.blocks import InMemory
from lowerbound.mixtures.columns import Codes, Column, Counts, Empty, Number, Piece, Spiked
from lowerbound.mixtures.components import Family
from lowerbound.mixtures.discrete import Categorical, Poisson
from lowerbound.mixtures.em import Until, begin, fit
from lowerbound.mixtures.frames import is_number, is_text, is_time, numbers
from lowerbound.mixtures.gaussian import FLOOR, Full
from lowerbound.mixtures.product import Product
from lowerbound.mixtures.scales import NegativeBinomial, Student

Likelihood = Literal[
    "categorical",
    "poisson",
    "negative-binomial",
    "gaussian",
    "student",
    "log-normal",
    "log-student",
    "spiked-gaussian",
    "spiked-student",
    "spiked-log-normal",
    "spiked-log-student",
]
MOST_VALUES = 256
FEW_VALUES = 20
NEW = 0.001
SPIKE = 0.1
CONTEST_ROWS = 5000
CLOSE = 0.01
NO_STEP = 1e-12


class Chosen(NamedTuple):
    """A column's likelihood, and a sentence that says why."""

    column: Column
    why: str


@final
@dataclass(frozen=True, eq=False)
class Facts:
    """What the rules ask of a column of numbers: x holds those that are there."""

    name: str
    kind: pa.DataType
    x: np.ndarray

    @classmethod
    def of(cls, name: str, column: pa.ChunkedArray) -> Facts:
        """Raises InputError if a number is infinite."""
        x = numbers(column)
        if np.isinf(x).any():
            raise InputError(f"column {name!r} holds an infinite number; correct it, or leave it empty")
        return cls(name, column.type, x[~np.isnan(x)])

    @cached_property
    def values(self) -> tuple[np.ndarray, np.ndarray]:
        """The different values and how often each is there."""
        found, counts = np.unique(self.x, return_counts=True)
        return found, counts

    @property
    def codes(self) -> bool:
        """Whether values are few, and hardly any will come that was never met, going by those that are there once."""
        found, counts = self.values
        return len(found) <= FEW_VALUES and bool((counts == 1).sum() <= NEW * len(self.x))

    @property
    def counts(self) -> bool:
        return not is_time(self.kind) and bool((self.x >= 0).all() and (self.x == np.floor(self.x)).all())

    @property
    def spike(self) -> float | None:
        """The value that over a tenth of the rows have."""
        found, counts = self.values
        often = counts.argmax()
        return float(found[often]) if counts[often] > SPIKE * len(self.x) else None

    @property
    def step(self) -> float:
        """What values are rounded to: the least difference between two, or next to nothing if all are the same."""
        return float(np.diff(self.values[0]).min()) if len(self.values[0]) > 1 else NO_STEP

    def beside(self, value: float) -> Facts:
        """The numbers other than one."""
        return Facts(self.name, self.kind, self.x[self.x != value])


def chosen(name: str, column: pa.ChunkedArray, categories: list[Any] | None, seed: int) -> Chosen:
    """The likelihood of a column by the rules, and why.

    column: its type plain, not a dictionary; categories: what a dictionary named.
    """
    if column.null_count == len(column):
        return Chosen(Empty(name), f"{name}: nothing in it; it stays empty")
    if categories is not None or not is_number(column.type):
        why = f"because it is {_type(column.type)}" if categories is None else "because its type has categories"
        return _only(name, column, _codes(name, column, categories), why)
    facts = Facts.of(name, column)
    if len(facts.values[0]) <= 2 and not is_time(column.type):
        return _only(name, column, _codes(name, column, categories), "because it has no more values")
    return _contest(facts, column, seed)


def asked(name: str, column: pa.ChunkedArray, categories: list[Any] | None, likelihood: str) -> Chosen:
    """The likelihood that was asked for.

    Raises:
        InputError: there is none of that name, or the column holds what is impossible under it.
    """
    if likelihood not in get_args(Likelihood):
        raise InputError(
            f"likelihoods: {name!r} asks for {likelihood!r}; choose one of {', '.join(get_args(Likelihood))}"
        )
    if likelihood == "categorical":
        return _only(name, column, _codes(name, column, categories), "as asked for")
    if not is_number(column.type):
        raise InputError(f"likelihoods: {name!r} holds {_type(column.type)}, which is categorical, not {likelihood}")
    made = _made(Facts.of(name, column), likelihood)
    made.encode(column)
    return _only(name, column, made, "as asked for")


def family_of(pieces: tuple[Piece, ...]) -> Product:
    """Families over encoded columns: codes and counts of a kind together, Gaussian ones with a covariance among them.

    >>> family_of((Piece("codes", 2), Piece("gaussian"), Piece("codes", 3))).groups[0]
    ((0, 2), Categorical(levels=(2, 3), strength=1.0))
    """
    return Product(tuple((places, _family([pieces[place] for place in places])) for places in _alike(pieces)))


def _alike(pieces: tuple[Piece, ...]) -> list[tuple[int, ...]]:
    """Places of pieces that one family takes; Student's t takes columns one by one anyway, each with its own floor."""
    names = [f"{piece.kind} {place if piece.kind == 'student' else ''}" for place, piece in enumerate(pieces)]
    return [tuple(place for place, each in enumerate(names) if each == name) for name in dict.fromkeys(names)]


def _family(pieces: list[Piece]) -> Family:
    floor = max(FLOOR, *(piece.floor for piece in pieces))
    families: dict[str, Family] = {
        "codes": Categorical(tuple(piece.levels for piece in pieces)),
        "poisson": Poisson(),
        "negative-binomial": NegativeBinomial(),
        "gaussian": Full(floor),
        "student": Student(floor=floor),
    }
    return families[pieces[0].kind]


def _only(name: str, column: pa.ChunkedArray, made: Column, why: str) -> Chosen:
    gone = column.null_count / len(column)
    missing = f", {gone:.0%} missing" if gone else ""
    count = f"{pc.count_distinct(column).as_py():,} different values"
    return Chosen(made, f"{name}: {_type(column.type)}, {count}{missing}; {made.likelihood}, {why}")


def _type(kind: pa.DataType) -> str:
    if is_number(kind):
        return "times" if is_time(kind) else "numbers"
    return "truth values" if pa.types.is_boolean(kind) else "text"


def _codes(name: str, column: pa.ChunkedArray, categories: list[Any] | None) -> Codes:
    """Values in the order of the categories, else in their own."""
    if not (pa.types.is_boolean(column.type) or is_text(column.type) or is_number(column.type)) or is_time(column.type):
        raise InputError(
            f"column {name!r} holds {column.type}, of which nothing is known here; convert it, or leave it out"
        )
    there = column.unique().drop_null().to_pylist()
    if len(there) > MOST_VALUES:
        raise InputError(
            f"column {name!r} holds {len(there):,} different values, more than {MOST_VALUES}, as if it named rows; "
            f"leave it out of the table"
        )
    values = sorted(there) if categories is None else [value for value in categories if value in there]
    return Codes(name, tuple(values), None if categories is None else tuple(categories))


def _made(facts: Facts, likelihood: str) -> Column:
    """A column of numbers under a likelihood other than categorical."""
    if likelihood in ("poisson", "negative-binomial"):
        return Counts(facts.name, likelihood)  # type: ignore[arg-type]  # one of the two
    if not likelihood.startswith("spiked-"):
        return _number(facts, likelihood)
    value = _mode(facts)
    return Spiked(facts.name, value, _number(facts.beside(value), likelihood.removeprefix("spiked-")))


def _mode(facts: Facts) -> float:
    found, counts = facts.values
    return float(found[counts.argmax()])


def _number(facts: Facts, likelihood: str) -> Number:
    """Scaled to mean 0 and variance 1; the least variance is that of rounding, h²/12, of a logarithm at the median."""
    log = likelihood.startswith("log-")
    if log and (facts.x <= 0).any():
        raise InputError(f"column {facts.name!r} holds {facts.x.min():g}, but {likelihood} is of positive numbers")
    z = np.log(facts.x) if log else facts.x
    scale = float(z.std()) or facts.step
    step = facts.step / scale / (float(np.median(facts.x)) if log else 1.0)
    family: Literal["gaussian", "student"] = "student" if likelihood.endswith("student") else "gaussian"
    return Number(facts.name, family, log, float(z.mean()), scale, min(step, 1.0) ** 2 / 12)


def _contestants(facts: Facts) -> list[str]:
    """The simpler first."""
    if is_time(facts.kind):
        return ["gaussian", "student"]
    spike = None if facts.codes else facts.spike
    beside = facts if spike is None else facts.beside(spike)
    densities = ["gaussian", "student", *(["log-normal", "log-student"] if (beside.x > facts.step / 2).all() else [])]
    counts = ["poisson", "negative-binomial"] if facts.counts else []
    codes = ["categorical"] if facts.codes else []
    return [*codes, *counts, *(densities if spike is None else [f"spiked-{name}" for name in densities])]


def _contest(facts: Facts, column: pa.ChunkedArray, seed: int) -> Chosen:
    order = np.random.default_rng(seed).permutation(len(column))[:CONTEST_ROWS]
    some = column.filter(pc.is_valid(column)) if len(facts.x) < CONTEST_ROWS else column.take(pa.array(np.sort(order)))
    some = some.filter(pc.is_valid(some))
    made = {name: _contestant(facts, some, name) for name in _contestants(facts)}
    nats = {name: _held_out(one, some, facts.step, seed) for name, one in made.items()}
    best = max(nats.values())
    winner = next(name for name, found in nats.items() if found >= best - CLOSE)
    others = {name: found for name, found in nats.items() if name != winner}
    return _only(facts.name, column, made[winner], _because(nats[winner], others))


def _contestant(facts: Facts, column: pa.ChunkedArray, name: str) -> Column:
    return _codes(facts.name, column, None) if name == "categorical" else _made(facts, name)


def _because(own: float, others: dict[str, float]) -> str:
    if not others:
        return "the only one possible"
    second = max(others, key=lambda name: others[name])
    gain = own - others[second]
    if gain < 0:
        return f"within {CLOSE} nats of {second} on held-out rows, and simpler"
    return f"ahead of {second} by {gain:.2g} nats on held-out rows"


def _held_out(column: Column, values: pa.ChunkedArray, step: float, seed: int) -> float:
    """Mean log probability of a fifth of the values, as rounded, under a mixture of three fitted to the rest."""
    rows = column.encode(_spread(column, values, step, seed))
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    some, rest = rows[order[len(rows) // 5 :]], rows[order[: len(rows) // 5]]
    if len(rest) == 0:
        return 0.0
    blocks = InMemory(some)
    mixture = fit(begin(family_of(column.pieces), blocks, 3), blocks, Until(1e-3, 40)).mixture
    return (mixture.log_prob(rest)[0] + column.log_volume(rest) + _widths(column, rest, step)).mean().item()


def _spread(column: Column, values: pa.ChunkedArray, step: float, seed: int) -> pa.ChunkedArray:
    """Numbers under a density spread over the step that they are rounded to; what has a probability is left."""
    if isinstance(column, Codes | Counts):
        return values
    x = numbers(values)
    moved = x + step * (np.random.default_rng(seed).random(len(x)) - 0.5)
    kept = x == column.value if isinstance(column, Spiked) else np.zeros(len(x), bool)
    return pa.chunked_array([pa.array(np.where(kept, x, moved))])


def _widths(column: Column, rows: Tensor, step: float) -> Tensor:
    """log h for each density in a row."""
    dense = [place for place, piece in enumerate(column.pieces) if piece.kind in ("gaussian", "student")]
    return math.log(step) * (~rows[:, dense].isnan()).sum(-1)
