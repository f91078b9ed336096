"""Mixtures of factor analysers and of probabilistic PCA on the pixels of MNIST, beside scikit-learn's FactorAnalysis.

python bench/factors.py
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import FactorAnalysis
from torch import Tensor

import lowerbound
from _harness import record, threads
from lowerbound.mixtures.blocks import InMemory
from lowerbound.mixtures.components import Family
from lowerbound.mixtures.em import Until, begin, fit
from lowerbound.mixtures.factors import Factors, Isotropic
from lowerbound.mixtures.gaussian import Diagonal

LATENT, COMPONENTS, MISSING = 10, 10, 0.3
PIXELS = 784
UNTIL = Until(0.1, 50)
NOTES = (
    "Bytes with uniform noise added, divided by 256: the 55,000 training rows, and log p of the 10,000 test rows, in "
    f"nats and in bits a pixel of the bytes (an upper bound, by Jensen). {LATENT} factors each; EM until a step adds "
    f"less than {UNTIL.tolerance} nats a row, {UNTIL.steps} steps at most; one seed; scikit-learn's at its own "
    "settings. Seconds are of the processor, with the start. With gaps, "
    f"{MISSING:.0%} of the training pixels are missing, a pattern of its own for each row; the test rows are whole."
)

Measured = tuple[float, int]
"""log p of the test rows, nats a row, and steps."""


def main() -> None:
    torch.set_num_threads(threads())
    work: dict[str, Callable[[], Measured]] = {
        "FactorAnalysis of scikit-learn": peer,
        "factor analysis": partial(ours, Factors(LATENT, floor=0.0), 1),
        f"{COMPONENTS} diagonal": partial(ours, Diagonal(), COMPONENTS),
        f"{COMPONENTS} probabilistic PCA": partial(ours, Factors(LATENT, Isotropic()), COMPONENTS),
        f"{COMPONENTS} factor analysers": partial(ours, Factors(LATENT), COMPONENTS),
        f"{COMPONENTS} factor analysers, with gaps": partial(ours, Factors(LATENT), COMPONENTS, MISSING),
    }
    rows = [measured(name, run) for name, run in work.items()]
    record("factors", "Mixtures of factor analysers on pixels", "python bench/factors.py", rows, NOTES)


def measured(name: str, run: Callable[[], Measured]) -> dict[str, Any]:
    """One row of the table."""
    pixels("train"), pixels("test")
    began = time.process_time()
    log_prob, steps = run()
    return {
        "model": name,
        "nats a row": round(log_prob, 1),
        "bits a pixel": round(8 - log_prob / (PIXELS * math.log(2)), 3),
        "steps": steps,
        "seconds": round(time.process_time() - began, 1),
    }


@cache
def pixels(split: str) -> Tensor:
    """(N, 784), from 0 to 1."""
    x = lowerbound.load_data("mnist").split(split).array("x").reshape(-1, PIXELS)
    return torch.from_numpy(((x + np.random.default_rng(0).random(x.shape)) / 256).astype(np.float32))


def peer() -> Measured:
    """scikit-learn's."""
    found = FactorAnalysis(LATENT, random_state=0).fit(pixels("train").numpy())
    return float(found.score(pixels("test").numpy())), found.n_iter_


def ours(family: Family, components: int, missing: float = 0.0) -> Measured:
    """A mixture of this family."""
    x = pixels("train")
    gaps = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < missing
    blocks = InMemory(torch.where(gaps, torch.nan, x))
    found = fit(begin(family, blocks, components), blocks, UNTIL)
    return float(found.mixture.log_prob(pixels("test")).mean()), found.steps


if __name__ == "__main__":
    main()
