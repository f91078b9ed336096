"""An interpolated n-gram model of rows of codes, for the bench of poems: small, and no part of the library."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

Context = tuple[int, ...]


@dataclass
class KneserNey:
    """Interpolated Kneser-Ney smoothing with one discount for all orders.

        p(w | h) = max(c(h w) − D, 0) / c(h) + D · |{w: c(h w) > 0}| / c(h) · p(w | h without its first)

    in which c counts occurrences for the longest contexts, and for shorter ones the different symbols that come before
    them; below all lies the uniform distribution over the vocabulary. Stanley F. Chen and Joshua Goodman, "An empirical
    study of smoothing techniques for language modeling", 1999. With order 1 it is a unigram.
    """

    order: int
    symbols: int
    discount: float = 0.8
    counts: dict[Context, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    totals: dict[Context, int] = field(default_factory=dict)

    def fit(self, rows: Sequence[Sequence[int]], scored: Sequence[Sequence[bool]]) -> KneserNey:
        """Count rows of codes; what is not scored (breaks between lines) is a context and no event."""
        seen = set()
        for context, code in self._events(rows, scored):
            self.counts[context][code] += 1
            for length in range(len(context), 0, -1):
                longer, shorter = context[len(context) - length :], context[len(context) - length + 1 :]
                if (longer, code) in seen:
                    break
                seen.add((longer, code))
                self.counts[shorter][code] += 1
        self.totals = {context: sum(found.values()) for context, found in self.counts.items()}
        return self

    def log_p(self, rows: Sequence[Sequence[int]], scored: Sequence[Sequence[bool]]) -> float:
        """log p of all that is scored, in nats."""
        return sum(math.log(self.p(context, code)) for context, code in self._events(rows, scored))

    def p(self, context: Context, code: int) -> float:
        """p(code | context)."""
        below = self.p(context[1:], code) if context else 1 / self.symbols
        total = self.totals.get(context, 0)
        if not total:
            return below
        found = self.counts[context]
        return (max(found[code] - self.discount, 0) + self.discount * len(found) * below) / total

    def _events(self, rows: Sequence[Sequence[int]], scored: Sequence[Sequence[bool]]) -> Iterator[tuple[Context, int]]:
        for row, marks in zip(rows, scored):
            for place, (code, counts) in enumerate(zip(row, marks)):
                if counts:
                    yield tuple(row[max(0, place - self.order + 1) : place]), code
