"""What is hidden of MNIST's pictures, told by a VAE that was never trained for it, and by others.

    python bench/completion.py [MASK ...]     (default: all; what was measured before is kept and tabled with it)

All are shown the same binarised pixels and asked for the others: log p of these as they were binarised, and their
grey. Runs lie in lowerbound-completion and lowerbound-quadrants in the folder for temporary files.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import lowerbound
import quadrants
from _harness import RESULTS, ROOT, record
from lowerbound import plots
from lowerbound.data.dataset import load_data
from lowerbound.data.masks import Masks
from lowerbound.evaluation import imputation
from lowerbound.evaluation.completion import Completing, Part, log_conditional, traced
from lowerbound.evaluation.imputation import of_trace
from lowerbound.evaluation.statistics import estimate
from lowerbound.files import write_json
from lowerbound.precision import products
from lowerbound.randomness import derive

MASKS = ("left", "quadrants-1", "quadrants-2", "quadrants-3", "random")
SHARE = 0.8
"""Of the mask random, hidden."""
ROWS, AT_ONCE, PARTICLES = 150, 75, 500
NEIGHBOURS, STRENGTHS = (5, 10, 20, 50, 100), (0.5, 1.0, 2.0, 5.0, 10.0)
"""How many, and how many neighbours the mean picture counts for; chosen on validation pictures."""
RUN, KEPT = Path(tempfile.gettempdir()) / "lowerbound-completion" / "vae", RESULTS / "parts"
VAE: dict[str, Any] = {"hidden": [512, 512], "latent": 50, "epochs": 40}

SIZES = ", ".join(f"{key} {value}" for key, value in VAE.items())

Found = dict[str, Tensor]
"""Of each picture: nats, log p of its hidden pixels; mean, what is expected there in [0, 1]."""


@cache
def vae() -> lowerbound.Fitted:
    """The unconditional model, trained now or before."""
    if (RUN / "weights.safetensors").exists():
        return lowerbound.load(RUN, device="cpu")
    return lowerbound.train("vae", "mnist", RUN, **VAE)


def grey(split: str, count: int | None = None) -> Tensor:
    """The first pictures of a split, in [0, 1]."""
    return torch.from_numpy(load_data("mnist").split(split).array("x")[:count]).float() / 255


def binarised(pictures: Tensor) -> Tensor:
    """Drawn once, by the seed alone."""
    torch.manual_seed(derive(0, "view"))
    return torch.bernoulli(pictures)


def masks(name: str, rows: int) -> Tensor:
    torch.manual_seed(derive(0, "mask"))
    return Masks((28, 28), [name], SHARE)(rows)


def of_model(fitted: lowerbound.Fitted, method: Any, observed: Tensor) -> Found:
    """By weighed particles; of a model of what is hidden, by its own prior."""
    x, manner = grey("test", ROWS), Completing(1, PARTICLES, method)
    raw = (255 * x).to(torch.uint8)
    seen, parts = binarised(x), []
    for cut in (slice(first, first + AT_ONCE) for first in range(0, ROWS, AT_ONCE)):
        part = Part(fitted.setup, lowerbound.core.Batch({"x": seen[cut]}), {"x": observed[cut]})
        stored = lowerbound.core.Batch({"x": raw[cut].float()}, mask={"x": observed[cut]})
        filled = of_trace(fitted.setup, fitted.spec, stored, traced(part, manner), imputation.Manner(PARTICLES, 0))
        parts.append({**log_conditional(part, manner), "mean": filled.values["x"] / 255})
    found = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return {**found, "nats": found["log_p"]}


def of_probabilities(p: Tensor, observed: Tensor) -> Found:
    """Of pixels that are independent."""
    x = binarised(grey("test", ROWS))
    return {"nats": bernoulli(p, x, ~observed), "mean": p}


def bernoulli(p: Tensor, x: Tensor, hidden: Tensor) -> Tensor:
    """log p of the hidden pixels of each picture."""
    each = torch.where(x > 0, p.log(), (-p).log1p())
    return torch.where(hidden, each, 0).sum((-1, -2))


@cache
def mean_picture() -> Tensor:
    """Of the training split; no pixel is quite certain."""
    return grey("train").mean(0).clamp(1e-4, 1 - 1e-4)


def neighbours(seen: Tensor, observed: Tensor, most: int) -> Tensor:
    """The nearest training pictures of each by the pixels observed, (N, most, 28, 28), the nearest first."""
    train, found = grey("train").flatten(1), []
    for x, mask in zip(seen.flatten(1).split(50), observed.flatten(1).float().split(50)):
        distance = mask @ train.square().T - 2 * (x * mask) @ train.T
        found.append(train[distance.topk(most, largest=False).indices])
    return torch.cat(found).unflatten(-1, (28, 28))


def by_neighbours(seen: Tensor, observed: Tensor) -> Callable[[int, float], Tensor]:
    """Pixels' probabilities by number of neighbours and what the mean picture counts for beside them."""
    near = neighbours(seen, observed, max(NEIGHBOURS)).cumsum(1)
    return lambda k, strength: (near[:, k - 1] + strength * mean_picture()) / (k + strength)


def of_neighbours(name: str, observed: Tensor) -> Found:
    """With number and strength chosen on as many validation pictures."""
    x = grey("validation", ROWS)
    seen, hidden_of = binarised(x), masks(name, ROWS)
    tried = by_neighbours(seen, hidden_of)
    score = {(k, s): bernoulli(tried(k, s), seen, ~hidden_of).mean().item() for k in NEIGHBOURS for s in STRENGTHS}
    best = max(score, key=lambda chosen: score[chosen])
    print(name, "neighbours and strength:", best, flush=True)
    return of_probabilities(by_neighbours(binarised(grey("test", ROWS)), observed)(*best), observed)


def methods(name: str) -> dict[str, Callable[[Tensor], Found]]:
    """What is measured under a mask."""
    told: dict[str, Callable[[Tensor], Found]] = {
        "completing-vae": lambda observed: of_model(quadrants.trained("binarised"), "importance", observed)
    }
    return {
        "mean picture": lambda observed: of_probabilities(mean_picture().expand(ROWS, 28, 28), observed),
        "nearest neighbours": lambda observed: of_neighbours(name, observed),
        **(told if name in quadrants.MASKS else {}),
        "VAE, encoder's z": lambda observed: of_model(vae(), "importance", observed),
        "VAE, fitted z": lambda observed: of_model(vae(), "refined", observed),
    }


def measure(name: str) -> None:
    """All methods under a mask, but those that were measured before."""
    path = part_of(name)
    kept = json.loads(path.read_text()) if path.exists() else {}
    observed, x = masks(name, ROWS), grey("test", ROWS)
    for method, ask in methods(name).items():
        if method not in kept:
            with torch.no_grad(), products("bf16"):
                kept[method] = figures(ask(observed), ~observed, x)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, kept)
            print(name, method, kept[method], flush=True)


def part_of(name: str) -> Path:
    return KEPT / f"completion_{name}.json"


def figures(found: Found, hidden: Tensor, x: Tensor) -> dict[str, Any]:
    """Means over pictures, a hidden pixel."""
    pixels = hidden.sum((-1, -2))
    squares = torch.where(hidden, found["mean"] - x, 0).square().sum((-1, -2)) / pixels
    own = {name: estimate(found[name]) for name in ("by_weights", "whole", "part", "stderr", "khat") if name in found}
    return {
        "nats": estimate(found["nats"]),
        "nats_per_pixel": estimate(found["nats"] / pixels),
        "rmse": math.sqrt(squares.mean().item()),
        "pixels": pixels.double().mean().item(),
        **own,
    }


def row(name: str, method: str, found: dict[str, Any]) -> dict[str, Any]:
    """A row of the table."""
    nats, pixel = found["nats"], found["nats_per_pixel"]
    weighed = found.get("by_weights")
    return {
        "hidden": HIDDEN[name],
        "by": method,
        "−log p of the hidden": f"{-nats['value']:.1f} ± {nats['stderr']:.1f}",
        "a pixel": f"{-pixel['value']:.4f}",
        "by weights": f"{-weighed['value']:.1f}" if weighed else "",
        "RMSE of grey": f"{found['rmse']:.4f}",
    }


HIDDEN = {
    "left": "left half",
    "quadrants-1": "all but the lower left quadrant",
    "quadrants-2": "right half",
    "quadrants-3": "lower right quadrant",
    "random": f"{SHARE:.0%} of the pixels",
}


def tabulate() -> None:
    """The table of what there is."""
    rows = []
    for name in MASKS:
        kept = json.loads(part_of(name).read_text()) if part_of(name).exists() else {}
        rows += [row(name, method, found) for method, found in kept.items()]
    record("completion", "Completion of MNIST's pictures", "python bench/completion.py", rows, NOTES)


def show() -> None:
    """Completions by the VAE: weighed draws of the encoder's z, of a fitted one, and a chain; a mask above another."""
    x = load_data("mnist").split("test").array("x")[:6]
    for method in ("importance", "refined", "metropolis"):
        pages = []
        for name in ("left", "random"):
            observed = masks(name, len(x)).numpy()
            found = vae().complete(x, observed, Completing(5, PARTICLES, method))
            pages.append(plots.completions(x, observed, found.draws, 0, 255))
        gap = pages[0][:8] * 0 + 255
        page = torch.cat([torch.from_numpy(each) for each in (pages[0], gap, pages[1])]).numpy()
        plots.write_png(ROOT / "docs" / "images" / f"completion-{method}.png", page)


NOTES = (
    f"The first {ROWS} test pictures, binarised once, with errors over pictures; one seed. The VAE ({SIZES}) was "
    "trained on whole pictures alone. Its log p of the hidden is log p(all) − log p(observed), each by "
    f"importance sampling with {PARTICLES} draws of z: two lower bounds, whose difference is none. Where log "
    "p(observed) is asked of an encoder that never saw a picture in part (encoder's z) it is much too low, and "
    "the difference much too good: believe the row of the fitted z, and see how far by weights, Σ w_k p(hidden | "
    "z_k), is from it, which errs to the other side. The completing-vae is that of the table of quadrants, and "
    "its figure a lower bound; it is asked under the masks that it was trained for. The mean picture and the "
    "neighbours take pixels for independent; number and smoothing of the neighbours were chosen on validation "
    "pictures under the same mask. RMSE: of the mean that each expects of a hidden pixel against its grey, from 0"
    " to 1."
)


def main() -> None:
    for name in sys.argv[1:] or MASKS:
        measure(name)
    tabulate()
    if not sys.argv[1:]:
        show()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
