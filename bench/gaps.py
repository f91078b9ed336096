"""A step of exact EM over rows with gaps: how many rows a second, by how many patterns of gaps there are.

python bench/gaps.py
"""

from __future__ import annotations

import statistics
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.linalg import cho_factor, cho_solve
from torch import Tensor

from _harness import alternately, record, seconds, threads
from lowerbound.mixtures.blocks import InMemory
from lowerbound.mixtures.em import begin, expectation
from lowerbound.mixtures.factors import Factors
from lowerbound.mixtures.gaussian import Full, Tied
from lowerbound.mixtures.mixture import Mixture

ROWS, WIDTH, COMPONENTS, MISSING, PATTERNS, ROUNDS = 20_000, 32, 16, 0.3, 20, 5
BY_HAND = 100
"""Rows that are worked out one by one, for the sake of comparison."""
NOTES = (
    f"{ROWS:,} rows of {WIDTH} entries, {COMPONENTS} components, float64; where there are gaps, {MISSING:.0%} of the "
    f"entries are missing. E-step with all statistics; medians of {ROUNDS} rounds, taken in turn. One by one: the same "
    f"expectations in NumPy and SciPy, a Cholesky factor of the observed block for each row and component."
)


def main() -> None:
    torch.set_num_threads(threads())
    whole = clouds()
    tables = {
        "none": whole,
        f"{PATTERNS} patterns": with_gaps(whole, torch.randint(PATTERNS, (ROWS,))),
        "one of its own for each row": with_gaps(whole, torch.arange(ROWS)),
    }
    work = {
        (kind, gaps): partial(rate, begin(family, InMemory(rows[:4000]), COMPONENTS), rows)
        for kind, family in {"full": Full(), "tied": Tied(), "8 factors": Factors(8)}.items()
        for gaps, rows in tables.items()
    }
    last = tables["one of its own for each row"]
    work["full, one by one", "one of its own for each row"] = partial(by_hand, start_of(last), last[:BY_HAND])
    names = {f"{kind}|{gaps}": run for (kind, gaps), run in work.items()}
    found = alternately(names, ROUNDS)
    record("gaps", "EM over rows with gaps", "python bench/gaps.py", [row(name, found[name]) for name in found], NOTES)


def row(name: str, rates: list[float]) -> dict[str, Any]:
    kind, gaps = name.split("|")
    return {"covariance": kind, "gaps": gaps, "rows a second": round(statistics.median(rates))}


def clouds() -> Tensor:
    torch.manual_seed(0)
    turn = 0.3 * torch.randn(WIDTH, WIDTH, dtype=torch.float64)
    centres = 2 * torch.randn(COMPONENTS, WIDTH, dtype=torch.float64)
    noise = torch.randn(ROWS, WIDTH, dtype=torch.float64)
    return centres[torch.randint(COMPONENTS, (ROWS,))] + noise @ turn


def with_gaps(rows: Tensor, pattern: Tensor) -> Tensor:
    """pattern (N,): the number of each row's pattern of gaps."""
    gaps = torch.rand(int(pattern.max()) + 1, WIDTH) < MISSING
    return torch.where(gaps[pattern], torch.nan, rows)


def start_of(rows: Tensor) -> Mixture:
    return begin(Full(), InMemory(rows[:4000]), COMPONENTS)


def rate(mixture: Mixture, rows: Tensor) -> float:
    """Rows a second."""
    return len(rows) / seconds(lambda: expectation(mixture, InMemory(rows)))


def by_hand(mixture: Mixture, rows: Tensor) -> float:
    """The same, row by row."""
    loc, covariance = (mixture.components.tensors()[name][0].numpy() for name in ("loc", "covariance"))
    pairs = [(row, k) for row in rows.numpy() for k in range(len(loc))]
    return len(rows) / seconds(lambda: [one(row, loc[k], covariance[k]) for row, k in pairs])


def one(row: np.ndarray, loc: np.ndarray, covariance: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """log p of the observed entries; mean and covariance of the missing ones."""
    o, m = np.flatnonzero(~np.isnan(row)), np.flatnonzero(np.isnan(row))
    factor = cho_factor(covariance[np.ix_(o, o)], lower=True)
    gain = cho_solve(factor, covariance[np.ix_(o, m)]).T
    delta = row[o] - loc[o]
    square = delta @ cho_solve(factor, delta)
    log_det = 2 * np.log(np.diag(factor[0])).sum()
    mean = loc[m] + gain @ delta
    return -0.5 * (square + log_det), mean, covariance[np.ix_(m, m)] - gain @ covariance[np.ix_(o, m)]


if __name__ == "__main__":
    main()
