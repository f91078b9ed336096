"""Entries hidden at random from real tables, and how well they are told from the rest of their rows.

    python bench/imputation.py [TABLE ...]     (default: all; what was measured before is kept and tabled with it)

Our Imputer by a mixture of Gaussians and by a VAE, beside scikit-learn's IterativeImputer and KNNImputer and the column
mean. Each is fitted to the rows with their gaps and fills these. Columns are standardised by what is observed of them.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.experimental import enable_iterative_imputer  # noqa: F401  (what it is for)
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from _harness import RESULTS, record
from lowerbound.data.sources import SOURCES
from lowerbound.files import write_json
from lowerbound.mixtures.conditional import log_conditional
from lowerbound.sklearn import VAE, Imputer

Array = np.ndarray

TABLES = ("wine", "breast-cancer", "vehicle", "letter", "satellite")
ROWS = 1000
"""Of a larger table, drawn once."""
SHARES = (0.1, 0.3, 0.5)
SEEDS = (0, 1, 2)
VAE_SETTINGS: dict[str, Any] = {
    "latent": 10,
    "hidden": [128, 128],
    "likelihood": "gaussian-per-dim",
    "bound": "iwae",
    "particles": 10,
    "epochs": 200,
    "patience": 30,
    "device": "cpu",
}
"""Chosen on breast-cancer and wine with 30 % hidden by another seed."""
PARTICLES = 500
METHODS: dict[str, Callable[[int], Any]] = {
    "column mean": lambda seed: SimpleImputer(),
    "KNNImputer": lambda seed: KNNImputer(),
    "IterativeImputer": lambda seed: IterativeImputer(random_state=seed),
    "mixture": lambda seed: Imputer(random_state=seed),
    "VAE": lambda seed: Imputer(VAE(**VAE_SETTINGS), particles=PARTICLES, random_state=seed),
}
SPREAD_ENTRIES = 0.1
"""Of the observed entries, hidden too so that the spread of a peer's errors may be measured."""
KEPT = RESULTS / "parts"

ERROR_NOTES = (
    "Root mean squared error of the hidden entries in units of their column's standard deviation; the mean of "
    f"{len(SEEDS)} seeds of gaps, and the paired difference to IterativeImputer with its standard error. Entries are "
    f"missing completely at random. Tables of over {ROWS:,} rows are cut to {ROWS:,} drawn at random; labels are left "
    "out. scikit-learn's imputers have their defaults; the mixture's size and ridge are chosen by rows held out; the "
    f"VAE's settings are the same for all tables ({', '.join(f'{k}={v}' for k, v in VAE_SETTINGS.items())}), chosen on "
    "wine and breast-cancer with other gaps. Seconds: one thread's processor time to fit and fill in, in the order "
    "IterativeImputer, mixture, VAE, on a machine with other work."
)
DENSITY_NOTES = (
    "−log p(hidden entries | the observed ones of their row) in nats an entry, of standardised columns; the lower the "
    "better. The mixture's is exact; the VAE's is the difference of two estimates of log p by importance sampling with "
    f"{PARTICLES} draws. A peer says no density: it is given a Gaussian about its guess with one spread a column, that "
    f"of its errors on {SPREAD_ENTRIES:.0%} of the observed entries, hidden from another fit."
)


def main() -> None:
    for table in sys.argv[1:] or TABLES:
        for share in SHARES:
            for seed in SEEDS:
                keep(table, share, seed)
    tabulate()


def keep(table: str, share: float, seed: int) -> None:
    """Measure all methods, unless that was done before."""
    known = kept(table)
    if (name := f"{share} {seed}") not in known:
        z, hidden = gaps(table, share, seed)
        known[name] = {method: measure(method, z, hidden, seed) for method in METHODS}
        write_json(path_of(table), known)
        print(table, name, {method: f"{each['rmse']:.4f}" for method, each in known[name].items()}, flush=True)


def path_of(table: str) -> Path:
    """Where the figures of a table are kept."""
    KEPT.mkdir(parents=True, exist_ok=True)
    return KEPT / f"imputation_{table}.json"


def kept(table: str) -> dict[str, Any]:
    """What was measured of a table, by share and seed."""
    path = path_of(table)
    return json.loads(path.read_text()) if path.exists() else {}


def gaps(table: str, share: float, seed: int) -> tuple[Array, Array]:
    """Rows (N, D) standardised by what is observed, and which entries are hidden."""
    x = SOURCES[table].read().arrays["x"].astype(np.float64)
    x = x[np.random.default_rng(0).permutation(len(x))[:ROWS]]
    hidden = np.random.default_rng(seed).random(x.shape) < share
    seen = np.where(hidden, np.nan, x)
    return (x - np.nanmean(seen, 0)) / np.nanstd(seen, 0), hidden


def measure(name: str, z: Array, hidden: Array, seed: int) -> dict[str, float]:
    """Error, density and time of one method."""
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of chains that have not converged
        imputer = METHODS[name](seed)
        found = imputer.fit_transform(np.where(hidden, np.nan, z))
        seconds = time.process_time() - start
        nats = DENSITIES.get(name, about_guess)(name, imputer, z, hidden, seed)
    error = math.sqrt(np.square(found - z)[hidden].mean())
    return {"rmse": error, "nats": -nats.sum() / hidden.sum(), "seconds": seconds}


def of_mixture(name: str, imputer: Any, z: Array, hidden: Array, seed: int) -> Array:
    """log p of each row's hidden entries given the others, exactly."""
    completion = imputer.completion_
    rows = torch.from_numpy(completion.scaling(z))
    scaled = log_conditional(completion.estimator.mixture_, rows, torch.from_numpy(~hidden)).numpy()
    return np.asarray(scaled - hidden @ np.log(completion.scaling.scale))


def of_vae(name: str, imputer: Any, z: Array, hidden: Array, seed: int) -> Array:
    """The same by importance sampling: log p(x) − log p(x_observed)."""
    model = imputer.estimator_.model_
    whole, seen = (model.log_prob(rows, PARTICLES, seed) for rows in (z, np.where(hidden, np.nan, z)))
    return np.asarray(whole - seen)


def about_guess(name: str, imputer: Any, z: Array, hidden: Array, seed: int) -> Array:
    """log of a Gaussian about a peer's guess, of as wide a spread as its errors have in each column."""
    more = ~hidden & (np.random.default_rng(seed + 1).random(z.shape) < SPREAD_ENTRIES)
    again = METHODS[name](seed).fit_transform(np.where(hidden | more, np.nan, z))
    variance = spread(np.where(more, again - z, np.nan))
    error = imputer.transform(np.where(hidden, np.nan, z)) - z
    return np.where(hidden, -0.5 * (error**2 / variance + np.log(2 * math.pi * variance)), 0).sum(1)


def spread(errors: Array, prior: float = 5.0) -> Array:
    """Mean squared error of each column, drawn towards that of all where it has few."""
    count = (~np.isnan(errors)).sum(0)
    return np.asarray((np.nansum(errors**2, 0) + prior * np.nanmean(errors**2)) / (count + prior))


DENSITIES: dict[str, Callable[..., Array]] = {"mixture": of_mixture, "VAE": of_vae}


def tabulate() -> None:
    """Both tables, of what all seeds were measured of."""
    cells = [(table, share) for table in TABLES for share in SHARES if len(seeds(table, share)) == len(SEEDS)]
    command = "python bench/imputation.py"
    errors = [row(table, share, "rmse") | times(table, share) for table, share in cells]
    record("imputation", "Imputation of real tables: error", command, errors, ERROR_NOTES)
    densities = [row(table, share, "nats") for table, share in cells]
    record("imputation_density", "Imputation of real tables: density", command, densities, DENSITY_NOTES)


def seeds(table: str, share: float) -> list[dict[str, Any]]:
    """What was measured of a table with this share missing, a seed each."""
    found = kept(table)
    return [found[name] for seed in SEEDS if (name := f"{share} {seed}") in found]


def row(table: str, share: float, figure: str) -> dict[str, Any]:
    """A row of the table."""
    found = seeds(table, share)
    by_method = {name: [each[name][figure] for each in found] for name in METHODS}
    means = {name: round(statistics.mean(values), 4) for name, values in by_method.items()}
    best = "IterativeImputer"
    differences = {f"{name} − {best}": paired(by_method[name], by_method[best]) for name in ("mixture", "VAE")}
    return {"table": table, "missing": f"{share:.0%}", **means, **differences}


def paired(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """The mean of the differences, seed by seed, with its standard error."""
    differences = [a - b for a, b in zip(ours, theirs)]
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    return f"{statistics.mean(differences):+.4f} ± {error:.4f}"


def times(table: str, share: float) -> dict[str, Any]:
    """Mean seconds."""
    names = ("IterativeImputer", "mixture", "VAE")
    return {"seconds": ", ".join(f"{statistics.mean(s[n]['seconds'] for s in seeds(table, share)):.1f}" for n in names)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
