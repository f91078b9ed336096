"""Writing a quatrain by the rules of tone and rhyme, with no character twice: at once, or from left to right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np

from lowerbound.data.chinese import Readings
from lowerbound.data.poems import LINES
from lowerbound.errors import InputError
from lowerbound.evaluation.prosody import patterns_of

Array = np.ndarray

LEAST = -1e30
"""The log-probability of what must not be; finite, so that sums of it can be compared."""

IMPOSSIBLE = "no pattern of tones can be kept with the characters given; write without constraints"


@final
@dataclass(frozen=True, eq=False)
class Rules:
    """What the rules see in the V symbols of a vocabulary.

    known: (V,), whether it is a character at all. tones: tone -> (V,), whether it may be read so; · is either. rhymes:
    (R, V), whether it is read under each rhyme of the level tone.
    """

    known: Array
    tones: Mapping[str, Array]
    rhymes: Array

    @classmethod
    def of(cls, symbols: Sequence[str], readings: Readings) -> Rules:
        """The rules for these symbols; those of more than one letter are no characters."""
        known = np.array([len(symbol) == 1 for symbol in symbols])
        tones = {tone: np.array([tone in readings.tones(symbol) for symbol in symbols]) & known for tone in "平仄"}
        names = sorted({rhyme for symbol in symbols for rhyme in readings.level(symbol)})
        each = [readings.level(symbol) for symbol in symbols]
        rhymes = np.array([[rhyme in found for found in each] for rhyme in names]).reshape(len(names), len(symbols))
        return cls(known, {**tones, "·": known}, rhymes)


@final
class Composed(NamedTuple):
    """A poem's codes (P,), its pattern of tones, and its log-probability at each place together."""

    codes: Array
    pattern: str
    log_p: float


@final
@dataclass(frozen=True)
class Plan:
    """A pattern of tones with the rhyme of some of its places, and a bound on the log-probability of what keeps it."""

    pattern: str
    rhymed: tuple[int, ...]
    rhyme: int
    bound: float


def composed(log_p: Array, rules: Rules, fixed: Mapping[int, int] | None = None) -> Composed:
    """The likeliest codes by independent log-probabilities (P, V) that keep a pattern, rhyme, and are all different.

    fixed: place -> code; those may be alike, and the others differ from them. For each pattern and rhyme the best codes
    regardless of repetition bound what can be had; from the highest bound down, the best codes without repetition are
    an assignment of places to codes, until no bound is left above the best found. So the answer is exact, not a beam's.

    Raises:
        InputError: with these fixed, no pattern can be kept.
    """
    held = dict(fixed or {})
    allowed = only(log_p, rules, held)
    best: Composed | None = None
    for plan in sorted(plans(allowed, rules), key=lambda plan: -plan.bound):
        if plan.bound <= (best.log_p if best else LEAST / 2):
            break
        codes = assigned(kept_to(allowed, rules, plan), held)
        total = float(log_p[np.arange(len(codes)), codes].sum())
        if codes_keep(plan, rules, codes) and (best is None or total > best.log_p):
            best = Composed(codes, plan.pattern, total)
    if best is None:
        raise InputError(IMPOSSIBLE)
    return best


def only(log_p: Array, rules: Rules, fixed: Mapping[int, int]) -> Array:
    """Log-probabilities of characters alone, and at fixed places of the given one alone; it stands nowhere else."""
    allowed = np.where(rules.known, np.maximum(log_p, LEAST / 1e6), LEAST)
    allowed[:, list(fixed.values())] = LEAST
    for place, code in fixed.items():
        allowed[place] = LEAST
        allowed[place, code] = log_p[place, code]
    return allowed


def plans(log_p: Array, rules: Rules) -> Iterator[Plan]:
    """Every pattern with every rhyme."""
    form = len(log_p) // LINES
    best = {tone: np.where(mask, log_p, LEAST).max(1) for tone, mask in rules.tones.items()}
    by_rhyme = np.stack([np.where(mask, log_p, LEAST).max(1) for mask in rules.rhymes])
    for pattern, first in patterns_of(form):
        rhymed = ends(form, first)
        free = sum(best[tone][place] for place, tone in enumerate(pattern) if place not in rhymed)
        for rhyme, bound in enumerate(free + by_rhyme[:, rhymed].sum(1)):
            yield Plan(pattern, rhymed, rhyme, float(bound))


def kept_to(log_p: Array, rules: Rules, plan: Plan) -> Array:
    """Log-probabilities (P, V) of what the plan allows at each place."""
    masks = [
        rules.rhymes[plan.rhyme] if place in plan.rhymed else rules.tones[t] for place, t in enumerate(plan.pattern)
    ]
    return np.where(np.stack(masks), log_p, LEAST)


def codes_keep(plan: Plan, rules: Rules, codes: Array) -> bool:
    """Whether codes are as planned; they are not where no assignment could be."""
    return bool(
        (kept_to(np.zeros((len(codes), len(rules.known))), rules, plan)[np.arange(len(codes)), codes] == 0).all()
    )


def assigned(log_p: Array, fixed: Mapping[int, int]) -> Array:
    """A code for each place, all of them different but where fixed, of the greatest sum of log-probabilities.

    Of each place only the P likeliest codes need be looked at: the other places take P − 1 at most.
    """
    from scipy.optimize import linear_sum_assignment  # slow to import, and only this needs it

    places = np.array([place for place in range(len(log_p)) if place not in fixed], int)
    likely = np.unique(np.argpartition(-log_p[places], min(len(log_p), log_p.shape[1] - 1), 1)[:, : len(log_p)])
    rows, columns = linear_sum_assignment(log_p[np.ix_(places, likely)], maximize=True)
    codes = np.array([fixed.get(place, 0) for place in range(len(log_p))])
    codes[places[rows]] = likely[columns]
    return codes


@final
class Left(NamedTuple):
    """A pattern that what is written so far keeps, the places that rhyme in it, and the rhymes (R,) still open."""

    pattern: str
    rhymed: tuple[int, ...]
    rhymes: Array

    def mask(self, place: int, rules: Rules) -> Array:
        """(V,), what may stand there."""
        return rules.rhymes[self.rhymes].any(0) if place in self.rhymed else rules.tones[self.pattern[place]]

    def after(self, place: int, code: int, rules: Rules) -> Left:
        """The same with a character written."""
        return self._replace(rhymes=self.rhymes & rules.rhymes[:, code]) if place in self.rhymed else self


@final
class InOrder:
    """One poem as it is written from left to right: what may come next, so that all rules can be kept to the end.

    It never comes to a dead end, for patterns and rhymes that the given characters rule out are left out beforehand and
    a rhyme has characters enough; but it does not look ahead for the likeliest, as `composed` does.

    Raises:
        InputError: with these fixed, no pattern can be kept.
    """

    def __init__(self, form: int, rules: Rules, fixed: Mapping[int, int]) -> None:
        self.rules, self.fixed = rules, fixed
        self.used = set(fixed.values())
        enough = rules.rhymes.sum(1) > LINES + len(self.used)
        left = [Left(pattern, ends(form, first), enough) for pattern, first in patterns_of(form)]
        self.left = [each for each in left if all(each.mask(place, rules)[code] for place, code in fixed.items())]
        if not self.left:
            raise InputError(IMPOSSIBLE)

    def allowed(self, place: int) -> Array:
        """(V,), what may stand at the next place."""
        if place in self.fixed:
            return np.arange(len(self.rules.known)) == self.fixed[place]
        found = np.any([each.mask(place, self.rules) for each in self.left], 0)
        found[list(self.used)] = False
        return found

    def take(self, place: int, code: int) -> None:
        """Write a character there."""
        self.used.add(code)
        fitting = (each for each in self.left if each.mask(place, self.rules)[code])
        self.left = [each.after(place, code, self.rules) for each in fitting]


def ends(form: int, first: bool) -> tuple[int, ...]:
    """The places that rhyme: the last of the second and the fourth line, and of the first if it rhymes too.

    >>> ends(5, False), ends(7, True)
    ((9, 19), (6, 13, 27))
    """
    return tuple(line * form + form - 1 for line in ((0, 1, 3) if first else (1, 3)))
